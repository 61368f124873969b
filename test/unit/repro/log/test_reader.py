"""What a log of SGLang's present CI says: which files ran, and how each of them ended."""

from pathlib import Path

import pytest

from ci.repro.log.reader import read_jobs
from ci.repro.log.text import clean
from ci.repro.log.values import Call, FileEnd, JobLog
from support.sglang_log import SGLANG_LOG, job_log, stamped


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


def copied(text: str) -> str:
    """As it is after a copy that lost the escapes of colours."""
    return "".join(f"[36;1m{line}[0m\n" for line in text.splitlines())


def raw(text: str) -> str:
    """As it was before the runner read its commands."""
    return text.replace("##[group]", "::group::").replace("##[endgroup]", "::endgroup::")


def read(text: str) -> list[JobLog]:
    return read_jobs(clean(text))


def only_call(text: str) -> Call:
    (job,) = read(text)
    (call,) = job.calls
    return call


@pytest.mark.parametrize(
    "around", [str, stamped, by_gh, by_act, coloured, copied, raw], ids=lambda around: around.__name__
)
def test_a_log_reads_the_same_whatever_is_around_its_lines(around: type[str]) -> None:
    call = only_call(around(SGLANG_LOG))
    asked = call.test_call
    assert (asked.suite, asked.part, asked.parts) == ("stage-b-test-1-gpu-small-amd", 3, 5)
    assert (asked.timeout_per_file_s, asked.env) == (2400, (("SGLANG_USE_ROCM700A", "1"),))
    (failed,) = call.failed
    assert (failed.file, failed.cases) == (
        "test/registered/core/test_srt_endpoint.py",
        ("TestSRTEndpoint::test_logprob",),
    )
    assert call.last["test/registered/lora/test_lora_tp.py"].ended is FileEnd.PASSED


def test_a_script_with_its_values_not_filled_in_is_not_a_call() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd --auto-partition-id ${{ matrix.part }} --auto-partition-size 5"
    (job,) = read(log)
    assert job.calls == ()


def test_calls_of_one_suite_with_other_variables_are_two() -> None:
    (job,) = read(job_log("one-suite-two-environments"))
    first, second = job.calls
    assert (first.test_call.env, first.failed) == ((("SGLANG_BACKEND", "first"),), ())
    assert (second.test_call.env, [each.file for each in second.failed]) == (
        (("SGLANG_BACKEND", "second"),),
        ["test/registered/amd/test_flash.py"],
    )


def test_every_way_to_name_a_failure_is_understood() -> None:
    failed = {Path(each.file).stem: each for each in only_call(job_log("names-of-failures")).failed}
    assert {name: each.cases for name, each in failed.items()} == {
        "test_of_class": ("TestServer",),
        "test_of_module": (),
        "test_sub": ("TestSub::test_shapes", "TestSub::test_old"),
        "test_params": ("test_one[4-64]", "TestMore::test_two[a b]"),
        "test_script": (),
        "test_import": (),
    }
    assert failed["test_of_class"].setups == ("TestServer::setUpClass",)
    assert [name for name, each in failed.items() if each.whole] == ["test_of_module", "test_import"]


def test_a_whole_job_tells_its_set_up_and_each_file_once() -> None:
    (job,) = read(job_log("whole-job"))
    (call,) = job.calls
    assert {Path(file).stem: each.ended.value for file, each in call.last.items()} == {
        "test_good": "passed",
        "test_unsteady": "passed",
        "test_bad": "failed",
    }
    assert (call.flaky, call.amount) == (("test/registered/core/test_unsteady.py",), 4)
    set_up = job.set_up
    assert (set_up.commit, set_up.merged) == (
        "0123456789abcdef0123456789abcdef01234567",
        "89abcdef0123456789abcdef0123456789abcdef",
    )
    assert (set_up.image, set_up.rocm, set_up.runner) == (
        "rocm/sgl-dev:v0.5.15-rocm720-mi30x-20260818",
        "720",
        "linux-south-1gpu-k7x",
    )
    assert (set_up.aiter.endswith("a development version"), set_up.triton) == (
        True,
        "3.5.1 was installed, was 3.4.0",
    )


def test_the_last_run_of_a_step_counts() -> None:
    call = only_call(job_log("second-run-offline"))
    assert (call.failed, call.flaky) == ((), ("test/registered/core/test_two.py",))


def test_a_log_without_its_end_names_what_was_running() -> None:
    (attempt,) = only_call(SGLANG_LOG[: SGLANG_LOG.index("FAIL: test_logprob")]).failed
    assert (attempt.file, attempt.ended) == ("test/registered/core/test_srt_endpoint.py", FileEnd.UNFINISHED)


def test_a_log_without_its_beginning_has_the_results_of_the_summary() -> None:
    text = job_log("whole-job")
    (job,) = read(text[text.index("2026-08-20T09:12:31.0000000Z Fail. Time") :])
    (call,) = job.calls
    assert [(each.file, each.because) for each in call.failed] == [
        ("test/registered/core/test_bad.py", "exit code 1")
    ]


def test_the_runners_table_says_which_part_it_was_when_the_command_is_lost() -> None:
    text = job_log("whole-job")
    (job,) = read(text[text.index("2026-08-20T09:08:05") :])
    (call,) = job.calls
    asked = call.test_call
    assert (asked.suite, asked.part, asked.parts, asked.nightly) == (
        "stage-b-test-1-gpu-small-amd",
        2,
        5,
        False,
    )
    assert [each.file for each in call.failed] == ["test/registered/core/test_bad.py"]


def test_two_jobs_in_one_file_are_two() -> None:
    text = job_log("whole-job")
    one, two = read(
        text + text.replace("--auto-partition-id 2", "--auto-partition-id 3").replace("3/5 (0", "4/5 (0")
    )
    assert [each.calls[0].test_call.part for each in (one, two)] == [2, 3]


def test_a_command_that_a_step_shows_once_more_is_one() -> None:
    command = "bash scripts/ci/amd/amd_ci_exec.sh python3 run_suite.py --hw amd --suite stage-a-test-1-gpu-small-amd"
    call = only_call(
        f"##[group]Run {command}\n  {command}\n##[endgroup]\n+ {command}\nBegin (0/0):\npython3 /x/test/srt/test_a.py\n"
    )
    assert list(call.last) == ["test/srt/test_a.py"]


def test_a_call_before_run_suite_had_hw_is_amds_by_its_suite() -> None:
    log = "bash scripts/amd_ci_exec.sh python3 run_suite.py --suite per-commit-amd --auto-partition-id 1 --auto-partition-size 8"
    asked = only_call(log).test_call
    assert (asked.suite, asked.part, asked.parts) == ("per-commit-amd", 1, 8)
    assert read("python3 run_suite.py --suite per-commit-1-gpu")[0].calls == ()


def test_files_that_a_step_runs_by_themselves_get_their_failures() -> None:
    log = job_log("files-by-themselves")
    (job,) = read(log)
    failed = [(each.file, each.cases) for call in job.calls for each in call.failed]
    assert failed == [("sgl-kernel/tests/test_moe.py", ("test_align[8]",))]


def test_a_job_that_ended_before_its_tests_names_the_step() -> None:
    (job,) = read(job_log("pull-limit"))
    assert job.stopped_early is not None
    assert job.stopped_early.error == "Process completed with exit code 1."


def test_a_file_that_crashed_without_naming_a_case_has_failed() -> None:
    log = job_log("files-by-themselves").replace(
        "FAILED test_moe.py::test_align[8] - AssertionError: Tensor-likes are not close!\n", ""
    )
    (job,) = read(log)
    ended = {each.file: each.ended for call in job.calls for each in call.attempts}
    assert ended == {
        "sgl-kernel/tests/test_topk.py": FileEnd.PASSED,
        "sgl-kernel/tests/test_moe.py": FileEnd.FAILED,
    }


def test_a_job_of_other_hardware_did_not_end_before_amds_tests() -> None:
    (job,) = read(
        "##[group]Run python3 run_suite.py --hw cuda --suite stage-b-test-1-gpu-small\n##[endgroup]\n"
        "##[error]Process completed with exit code 255.\n"
    )
    assert (job.amd, job.stopped_early) == (False, None)


def test_an_error_that_a_test_prints_does_not_fail_its_step() -> None:
    text = job_log("second-run-offline").replace(
        "Success.", "::error file=x.py,line=3::shown by a test\nSuccess."
    )
    (job,) = read(text)
    assert [step.error for step in job.steps] == [""]


def test_a_command_that_never_began_its_tests_is_named_beside_one_that_passed() -> None:
    later = "##[group]Run bash scripts/ci/amd/amd_ci_exec.sh python3 run_suite.py --hw amd --suite nightly-amd-perf --nightly\n"
    later += "##[endgroup]\nValueError: No CI registry found in test_x.py\n##[error]Process completed with exit code 1.\n"
    (job,) = read(job_log("second-run-offline") + later)
    assert job.stopped_early is not None
    assert job.stopped_early.calls[0].test_call.suite == "nightly-amd-perf"
