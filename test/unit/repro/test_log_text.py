"""Logs as GitHub, gh, act and terminals hand them out, and SGLang's own."""

import pytest

from ci.errors import UsageError
from ci.github.job_names import job_name, looks_like_a_job
from ci.plan.shards import Shard
from ci.repro.log_text import clean, decode_log
from ci.repro.sglang_log import read_sglang_log
from ci.repro.understand import from_log
from support.planning import catalog

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


def test_sglangs_part_3_of_5_is_our_shard_4() -> None:
    found = from_log(stamped(SGLANG_LOG), catalog(), where="log")
    assert found.asked.suite == "1-gpu-small"
    assert found.asked.shard == Shard(index=4, count=5)
    assert found.failed == ("test/registered/core/test_srt_endpoint.py",)
    assert found.asked.arguments("/sgl") == (
        "--suite", "1-gpu-small", "--shard", "4/5", "--env", "SGLANG_USE_ROCM700A=1", "--checkout", "/sgl",
    )  # fmt: skip
    assert any("part 3, counted from 0" in fact.value for fact in found.facts)


def test_what_was_running_when_a_log_was_cut_is_named() -> None:
    cut = SGLANG_LOG[: SGLANG_LOG.index("FAIL: test_logprob")]
    found = from_log(cut, catalog(), where="log")
    assert found.failed == ("test/registered/core/test_srt_endpoint.py",)
    assert any(fact.what == "running when the log ends" for fact in found.facts)


def test_a_timeout_and_a_nightly_call_are_understood() -> None:
    suite = "nightly-amd-8-gpu-west-big-flash"
    log = f"python3 run_suite.py --hw amd --suite {suite} --nightly --timeout-per-file=7200\n"
    log += "✗ TIMEOUT: registered/amd/test_deepseek_v4_flash_fp4.py after 7200 seconds\n"
    found = from_log(log, catalog(), where="log")
    assert (found.asked.stage, found.asked.suite, found.asked.shard) == (
        "nightly-big-amd",
        "big-flash",
        None,
    )
    assert found.failed == ("test/registered/amd/test_deepseek_v4_flash_fp4.py",)


def test_a_script_with_its_values_not_filled_in_is_not_a_call() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd --auto-partition-id ${{ matrix.part }} --auto-partition-size 5"
    assert read_sglang_log(clean(log)) == []


def test_a_log_of_an_unknown_suite_says_what_was_understood() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-smal-amd --auto-partition-id 1 --auto-partition-size 4"
    with pytest.raises(UsageError) as caught:
        from_log(log, catalog(), where="log")
    assert "shard: 2/4" in caught.value.render()
    assert "did you mean" in caught.value.render()


def test_a_log_of_two_failing_suites_asks_which() -> None:
    other = SGLANG_LOG.replace("--auto-partition-id 3", "--auto-partition-id 4")
    with pytest.raises(UsageError) as caught:
        from_log(SGLANG_LOG + other, catalog(), where="log")
    assert len(caught.value.problems) == 2


def test_a_log_that_holds_nothing_says_how_much_was_read() -> None:
    with pytest.raises(UsageError, match="holds no run") as caught:
        from_log("a\nb\n", catalog(), where="log")
    assert "3 lines were read" in caught.value.render()


@pytest.mark.parametrize("magic", [b"PK\x03\x04x", b"\x1f\x8bx"])
def test_an_archive_is_not_a_log(magic: bytes) -> None:
    with pytest.raises(UsageError, match="not a log"):
        decode_log(magic, where="logs.zip")


class TestJobNames:
    @pytest.mark.parametrize(
        ("name", "suite", "shard", "label"),
        [
            (
                "stage-b-test-1-gpu-small-amd (linux-north-1gpu, 4/5)",
                "1-gpu-small",
                "4/5",
                "linux-north-1gpu",
            ),
            (
                "stage-b-test-1-gpu-small-amd (linux-south-1gpu, 3)",
                "1-gpu-small",
                "4/5",
                "linux-south-1gpu",
            ),
            (
                "wave-2 / stage-c-test-8-gpu-amd (linux-south-8gpu, 0)",
                "8-gpu",
                "1/3",
                "linux-south-8gpu",
            ),
            (
                "call / wave-2 / stage-c-test-4-gpu-amd (linux-south-4gpu)",
                "4-gpu",
                "",
                "linux-south-4gpu",
            ),
            ("stage-b-test-2-gpu-amd", "2-gpu", "", ""),
            (
                "stage-b-test-2-gpu-amd-rocm720 (linux-south-2gpu, 1)",
                "2-gpu",
                "2/2",
                "linux-south-2gpu",
            ),
            (
                "nightly-8-gpu-west-big-flash-rocm720 (linux-west-8gpu)",
                "big-flash",
                "",
                "linux-west-8gpu",
            ),
        ],
    )
    def test_names_as_actions_shows_them(self, name: str, suite: str, shard: str, label: str) -> None:
        assert looks_like_a_job(name, catalog())
        found = job_name(name, catalog())
        assert found.suite.id == suite
        assert str(found.shard or "") == shard
        assert (found.label.label if found.label else "") == label

    def test_a_bare_number_says_how_it_was_read(self) -> None:
        found = job_name("stage-b-test-1-gpu-small-amd (linux-south-1gpu, 3)", catalog())
        assert any("counted from 0: shard 4/5" in words for words in found.readings)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("stage-b-test-1-gpu-smol-amd (linux-north-1gpu, 4/5)", "shard 4/5"),
            ("stage-b-test-1-gpu-small-amd (linux-north-1gpu, 5)", "counted from 0"),
            ("stage-b-test-1-gpu-small-amd (linux-north-1gpu, 6/5)", "counted from 1"),
            ("stage-b-test-1-gpu-small-amd (linux-north-3gpu, 1/5)", "neither a runner label nor a shard"),
            ("a b c", "is not a job name"),
        ],
    )
    def test_an_invalid_name_is_refused_with_what_was_understood(self, name: str, words: str) -> None:
        with pytest.raises(UsageError) as caught:
            job_name(name, catalog())
        assert words in caught.value.render()
