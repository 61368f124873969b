"""A log as SGLang's own scripts write it, and what is put around its lines."""

from pathlib import Path

__all__ = ["SGLANG_LOG", "job_log", "stamped"]

_LOGS = Path(__file__).parents[1] / "data" / "job_logs"

# as the files of SGLang's run_suite.py, ci_utils.py and amd_ci_exec.sh print, written down for this test
SGLANG_LOG = """\
##[group]Run bash scripts/ci/amd/amd_ci_exec.sh -w "/sglang-checkout/test" -e SGLANG_USE_ROCM700A=1 \\
  python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd --auto-partition-id 3 \\
  --auto-partition-size 5 --timeout-per-file 2400 $CONTINUE_ON_ERROR_FLAG
##[endgroup]
+------------+------------------------------+
.
.
Begin (0/7):
python3 /sglang-checkout/test/registered/lora/test_lora_tp.py
.
.
End (0/7):
filename='/sglang-checkout/test/registered/lora/test_lora_tp.py', elapsed=61, estimated_time=60
Begin (1/7):
python3 /sglang-checkout/test/registered/core/test_srt_endpoint.py
FAIL: test_logprob (__main__.TestSRTEndpoint.test_logprob)
Traceback (most recent call last):
AssertionError: 1 != 2

✗ FAILED: /sglang-checkout/test/registered/core/test_srt_endpoint.py returned exit code 1

Fail. Time elapsed: 99.00s
✓ PASSED:
  /sglang-checkout/test/registered/lora/test_lora_tp.py
✗ FAILED:
  /sglang-checkout/test/registered/core/test_srt_endpoint.py (exit code 1)
"""


def stamped(text: str) -> str:
    """As the API hands it out."""
    return "\ufeff" + "".join(f"2026-05-29T07:12:03.1234567Z {line}\r\n" for line in text.splitlines())


def job_log(name: str) -> str:
    """A log of `test/data/job_logs`: as Actions has it, in our own words."""
    return (_LOGS / f"{name}.log").read_text()
