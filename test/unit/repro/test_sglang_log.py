"""SGLang's own logs, whatever is around their lines."""

import pytest

from ci.repro.log_text import clean
from ci.repro.sglang_log import read_sglang_log
from support.sglang_log import SGLANG_LOG, stamped


def by_gh(text: str) -> str:
    """As `gh run view --log` prints it."""
    job = "stage-b-test-1-gpu-small-amd (linux-south-1gpu, 3)"
    return "".join(f"{job}\tRun tests\t2026-05-29T07:12:03.1234567Z {line}\n" for line in text.splitlines())


def by_act(text: str) -> str:
    """As act prints it."""
    return "".join(f"[PR Test/stage-b]   | {line}\n" for line in text.splitlines())


def coloured(text: str) -> str:
    """As a step with colours has it."""
    return "".join(f"\x1b[36;1m{line}\x1b[0m\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "around", [str, stamped, by_gh, by_act, coloured], ids=lambda around: around.__name__
)
def test_a_log_reads_the_same_whatever_is_around_its_lines(around: type[str]) -> None:
    (run,) = read_sglang_log(clean(around(SGLANG_LOG)))
    assert (run.suite, run.part, run.parts) == ("stage-b-test-1-gpu-small-amd", 3, 5)
    assert run.timeout_per_file_s == 2400
    assert run.env == {"SGLANG_USE_ROCM700A": "1"}
    assert run.failed == ["test/registered/core/test_srt_endpoint.py"]
    assert run.cases == {"test/registered/core/test_srt_endpoint.py": ["TestSRTEndpoint::test_logprob"]}


def test_a_script_with_its_values_not_filled_in_is_not_a_call() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd --auto-partition-id ${{ matrix.part }} --auto-partition-size 5"
    assert read_sglang_log(clean(log)) == []
