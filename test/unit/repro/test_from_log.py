"""What a log says about the run that wrote it."""

import pytest

from ci.errors import UsageError
from ci.plan.shards import Shard
from ci.repro.understand import from_log
from support.planning import catalog
from support.sglang_log import SGLANG_LOG, stamped


def test_sglangs_part_3_of_5_is_our_shard_4() -> None:
    found = from_log(stamped(SGLANG_LOG), catalog(), where="log")
    assert found.asked.suite == "1-gpu-small"
    assert found.asked.shard == Shard(index=4, count=5)
    assert found.failed_nodes == ("test/registered/core/test_srt_endpoint.py::TestSRTEndpoint::test_logprob",)
    assert found.asked.arguments("/sgl") == (
        "--suite", "1-gpu-small", "--shard", "4/5", "--env", "SGLANG_USE_ROCM700A=1", "--checkout", "/sgl",
    )  # fmt: skip
    assert any("part 3, counted from 0" in fact.value for fact in found.facts)


def test_what_was_running_when_a_log_was_cut_is_named() -> None:
    cut = SGLANG_LOG[: SGLANG_LOG.index("FAIL: test_logprob")]
    found = from_log(cut, catalog(), where="log")
    assert found.failed_nodes == ("test/registered/core/test_srt_endpoint.py",)
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
    assert found.failed_nodes == ("test/registered/amd/test_deepseek_v4_flash_fp4.py",)


def test_a_suite_that_only_a_tree_has_is_repeated_with_that_tree() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-9-gpu-amd --auto-partition-id 1 --auto-partition-size 4"
    asked = from_log(log, catalog(), where="log").asked
    assert asked.stage == "stage-b-amd"
    assert asked.arguments("") == (
        "--suite", "stage-b-test-9-gpu-amd", "--shard", "2/4", "--checkout", "<your SGLang tree>",
    )  # fmt: skip


def test_a_suite_that_the_tree_here_does_not_have_is_named_with_the_nearest() -> None:
    log = "python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-smal-amd"
    found = from_log(log, catalog(), where="log", checkout="/sgl")
    assert found.fatal
    assert found.problem.startswith("/sgl has no suite 'stage-b-test-1-gpu-smal-amd': did you mean")


def test_each_of_two_failing_commands_has_its_own_line() -> None:
    other = SGLANG_LOG.replace("--auto-partition-id 3", "--auto-partition-id 4")
    found = from_log(SGLANG_LOG + other, catalog(), where="log")
    assert [str(asked.shard) for asked in (found.asked, *(each.asked for each in found.more))] == [
        "4/5",
        "5/5",
    ]


def test_a_digest_of_a_log_without_a_capsule_is_refused() -> None:
    with pytest.raises(UsageError, match="--digest: log has no capsule"):
        from_log(SGLANG_LOG, catalog(), where="log", digest="123")


def test_a_log_that_holds_nothing_says_how_much_was_read() -> None:
    with pytest.raises(UsageError, match="has no run") as caught:
        from_log("a\nb\n", catalog(), where="log")
    assert "3 lines were read" in caught.value.render()
