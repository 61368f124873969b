"""The order of suites, tests and attempts; with attempts that only say how they end."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ci.agent.slot_memory import Leak, SlotMemory
from support.agent_process import a_suite, a_test, retry
from support.agent_queue import Script, files, script, work

__all__ = ["script"]

pytestmark = pytest.mark.in_container

Event = dict[str, Any]


def test_suites_and_tests_run_in_the_order_of_the_spec(script: Script, tmp_path: Path) -> None:
    work(script, tmp_path, a_suite(files("b", "a"), id="one"), a_suite(files("c"), id="two"))
    assert [test for test, _, _ in script.ran] == ["b", "a", "c"]
    kinds = [event["type"] for event in script.events]
    assert kinds == ["agent-started", *["suite-started", "suite-ended"] * 2, "agent-ended"]
    assert [event["tests"] for event in script.of("suite-started")] == [["b", "a"], ["c"]]
    assert script.of("agent-ended")[0]["reason"] == "done"


def test_jobs_share_the_gpus_and_give_them_back(script: Script, tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def meet(_test: str) -> None:
        both.wait(10)

    script.during = meet
    work(script, tmp_path, a_suite(files(*"abcd"), gpus=2), jobs=4, gpu_ids=["4", "5", "6", "7"])
    assert {test for test, _, _ in script.ran} == set("abcd")
    for pair in (script.ran[:2], script.ran[2:]):
        assert sorted(gpus for _, _, gpus in pair) == [["4", "5"], ["6", "7"]]


def test_a_suite_without_gpus_uses_all_jobs(script: Script, tmp_path: Path) -> None:
    three = threading.Barrier(3)

    def meet(_test: str) -> None:
        three.wait(10)

    script.during = meet
    work(script, tmp_path, a_suite(files(*"abc")), jobs=3, gpu_ids=["0"])
    assert [gpus for _, _, gpus in script.ran] == [[], [], []]


class TestRetries:
    def test_a_verdict_of_the_suites_list_is_tried_again_up_to_the_limit(
        self, script: Script, tmp_path: Path
    ) -> None:
        script.verdicts = {"a": ["infra", "passed"], "b": ["infra"], "c": ["product"]}
        work(script, tmp_path, a_suite(files(*"abc"), attempts=3, retries=[retry("infra", 3)]))
        assert [(test, number) for test, number, _ in script.ran] == [
            *(("a", 1), ("a", 2)),
            *(("b", 1), ("b", 2), ("b", 3)),
            ("c", 1),
        ]
        assert [(event["test"], event["attempt"]) for event in script.of("retry")] == [
            ("a", 1),
            ("b", 1),
            ("b", 2),
        ]
        assert script.of("retry")[0]["because"] == "attempt 1 of 3 ended with the verdict infra"

    def test_there_is_none_when_the_suite_would_be_over(self, script: Script, tmp_path: Path) -> None:
        script.verdicts = {"a": ["infra"]}
        work(
            script,
            tmp_path,
            a_suite(files("a"), attempts=2, retries=[retry("infra", 2)], retry_wait_s=50, timeout_s=30),
        )
        assert len(script.ran) == 1
        assert script.of("retry") == []
        assert "no time for another attempt" in script.of("note")[0]["text"]

    def test_a_stop_cuts_the_wait(self, script: Script, tmp_path: Path) -> None:
        script.verdicts = {"a": ["infra"]}
        timer = threading.Timer(0.1, script.stop.request, ["got SIGTERM"])
        timer.start()
        begin = time.monotonic()
        work(script, tmp_path, a_suite(files("a"), attempts=2, retries=[retry("infra", 2)], retry_wait_s=60))
        timer.join()
        assert time.monotonic() - begin < 10
        assert len(script.ran) == 1
        assert "no further attempt: got SIGTERM" in script.of("note")[0]["text"]


class TestWhatIsNotRun:
    def not_run(self, script: Script) -> list[tuple[str, str, str]]:
        return [(event["test"], event["verdict"], event["because"]) for event in script.of("test-not-run")]

    def test_after_a_stop_the_rest_of_every_suite_is_cancelled(self, script: Script, tmp_path: Path) -> None:
        script.during = lambda _test: script.stop.request("got SIGINT")
        work(script, tmp_path, a_suite(files("a", "b"), id="one"), a_suite(files("c"), id="two"))
        reason = "stopped: got SIGINT"
        assert self.not_run(script) == [("b", "cancelled", reason), ("c", "cancelled", reason)]
        assert script.of("agent-ended")[0]["reason"] == "cancelled"

    def test_with_fail_fast_the_first_failure_that_gates_cancels_the_rest(
        self, script: Script, tmp_path: Path
    ) -> None:
        script.verdicts = {"a": ["product"], "b": ["bounds"]}
        quarantined = a_test("a", quarantine=["a"])
        work(script, tmp_path, a_suite([quarantined, *files("b", "c")], id="one"), fail_fast=True)
        assert self.not_run(script) == [("c", "cancelled", "fail-fast: b of suite one failed (bounds)")]
        assert script.of("agent-ended")[0]["reason"] == "fail-fast"

    def test_without_it_everything_runs(self, script: Script, tmp_path: Path) -> None:
        script.verdicts = {"a": ["product"]}
        work(script, tmp_path, a_suite(files("a", "b")))
        assert len(script.ran) == 2

    def test_what_the_suite_has_no_time_for_is_a_timeout(self, script: Script, tmp_path: Path) -> None:
        script.during = lambda _test: time.sleep(0.7)
        work(
            script, tmp_path, a_suite(files("a", "b"), id="one", timeout_s=0.5), a_suite(files("c"), id="two")
        )
        because = "the suite's time limit of 0.5 s had expired before this test began"
        assert self.not_run(script) == [("b", "timeout", because)]
        assert [test for test, _, _ in script.ran] == ["a", "c"]


def test_a_fault_of_the_agent_itself_is_raised_after_the_sweep_and_nothing_is_reported_as_ended(
    script: Script, tmp_path: Path
) -> None:
    def broken(_test: str) -> None:
        raise ZeroDivisionError("of our own")

    script.during = broken
    with pytest.raises(ZeroDivisionError, match="of our own"):
        work(script, tmp_path, a_suite(files("a", "b")))
    assert script.of("agent-ended") == []
    assert len(script.ran) == 1


class TestRetriesOnOtherGpus:
    POLICY = (retry("device", 2, "other-if-any"), retry("hardware", 2, "other"))

    def test_a_device_abort_is_tried_once_more_on_another_gpu_in_any_suite(
        self, script: Script, tmp_path: Path
    ) -> None:
        script.verdicts = {"a": ["device", "device"], "b": ["passed"]}
        work(script, tmp_path, a_suite(files("a", "b"), gpus=1, retries=self.POLICY), gpu_ids=["4", "5"])
        assert script.ran == [("a", 1, ["4"]), ("a", 2, ["5"]), ("b", 1, ["4"])]
        because = "attempt 1 of 2 ended with the verdict device; next on another GPU"
        assert [event["because"] for event in script.of("retry")] == [because]

    @pytest.mark.parametrize(("gpus", "ids"), [(1, ["0"]), (0, []), (2, ["0", "1", "2"])])
    def test_without_another_it_is_tried_on_the_same(
        self, script: Script, tmp_path: Path, gpus: int, ids: list[str]
    ) -> None:
        script.verdicts = {"a": ["device", "device"]}
        work(script, tmp_path, a_suite(files("a"), gpus=gpus, retries=self.POLICY), gpu_ids=ids)
        assert script.ran == [("a", number, ids[:gpus]) for number in (1, 2)]
        assert script.of("retry")[0]["because"].endswith("next on the same GPU, the run has no other")

    def test_other_retries_stay_on_the_same_gpu_while_another_is_free(
        self, script: Script, tmp_path: Path
    ) -> None:
        both = threading.Barrier(2)

        def during(_test: str) -> None:
            if len(script.ran) <= 2:
                both.wait(10)

        script.during = during
        script.verdicts = {"b": ["infra", "passed"]}
        suite = a_suite(files("a", "b"), gpus=1, retries=[retry("infra", 2)], retry_wait_s=0.1)
        work(script, tmp_path, suite, jobs=2, gpu_ids=["0", "1"])
        assert [(number, gpus) for test, number, gpus in script.ran if test == "b"] == [
            (1, ["1"]),
            (2, ["1"]),
        ]

    def test_a_retry_that_is_given_up_ends_a_run_that_fails_fast(
        self, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The look at the memory is a double; test_memory.py has the look itself."""
        both = threading.Barrier(2)

        def during(test: str) -> None:
            if test in "ab":
                both.wait(10)
            if test == "b":  # it holds the other GPU until a has ended
                script.until("retry")

        def leak(_memory: SlotMemory, gpu_ids: list[str], **_keys: object) -> Leak | None:
            return Leak(gpu_ids=("1",), because="still in use") if "1" in gpu_ids else None

        monkeypatch.setattr(SlotMemory, "leak", leak)
        script.during = during
        script.verdicts = {"a": ["hardware", "passed"]}
        suite = a_suite(files("a", "b", "c"), gpus=1, retries=self.POLICY)
        work(script, tmp_path, suite, jobs=2, gpu_ids=["0", "1"], fail_fast=True)
        assert script.of("note")[-1]["text"] == "no further attempt: GPU 1 taken out, 1 left"
        assert script.of("agent-ended")[0]["reason"] == "fail-fast"

    @pytest.mark.parametrize("ids", [["0"], ["0", "1"]])
    def test_broken_hardware_is_tried_on_another_gpu_or_not_at_all(
        self, script: Script, tmp_path: Path, ids: list[str]
    ) -> None:
        script.verdicts = {"a": ["hardware", "passed"]}
        ran = [("a", number + 1, [gpu]) for number, gpu in enumerate(ids)]
        work(script, tmp_path, a_suite(files("a"), gpus=1, retries=self.POLICY), gpu_ids=ids)
        assert script.ran == ran

    def test_a_test_waits_until_another_gpu_is_free(self, script: Script, tmp_path: Path) -> None:
        both = threading.Barrier(2)

        def during(test: str) -> None:
            if test in ("a", "b") and len(script.ran) <= 2:
                both.wait(10)
            if test == "b":
                script.until("retry")

        script.during = during
        script.verdicts = {"a": ["device", "passed"]}
        work(
            script,
            tmp_path,
            a_suite(files("a", "b"), gpus=1, retries=self.POLICY),
            jobs=2,
            gpu_ids=["0", "1"],
        )
        of_a = {number: gpus for test, number, gpus in script.ran if test == "a"}
        assert sorted([*of_a[1], *of_a[2]]) == ["0", "1"]

    def test_a_stop_ends_the_wait_for_another_gpu(self, script: Script, tmp_path: Path) -> None:
        both = threading.Barrier(2)

        def during(test: str) -> None:
            both.wait(10)
            if test == "b":
                script.until("retry")
                script.stop.request("got SIGTERM")
                script.until("note", test="a")

        script.during = during
        script.verdicts = {"a": ["device"]}
        work(
            script,
            tmp_path,
            a_suite(files("a", "b"), gpus=1, retries=self.POLICY),
            jobs=2,
            gpu_ids=["0", "1"],
        )
        assert [number for test, number, _ in script.ran if test == "a"] == [1]
        assert script.of("note")[-1]["text"] == "no further attempt: got SIGTERM"


class TestSeveralAtATime:
    def test_suites_of_different_gpu_counts_share_the_gpus_and_the_widest_go_first(
        self, script: Script, tmp_path: Path
    ) -> None:
        narrow, wide = a_suite(files("a", "b"), id="narrow", gpus=1), a_suite(files("c"), id="wide", gpus=2)
        work(script, tmp_path, narrow, wide, jobs=2, gpu_ids=["0", "1"])
        assert script.ran[0] == ("c", 1, ["0", "1"])
        assert sorted(script.ran[1:]) == [("a", 1, ["0"]), ("b", 1, ["1"])]
        assert [event["suite"] for event in script.of("suite-started")] == ["wide", "narrow"]
        assert {event["suite"] for event in script.of("suite-ended")} == {"narrow", "wide"}

    def test_a_test_that_runs_alone_is_beside_no_other(self, script: Script, tmp_path: Path) -> None:
        running: list[str] = []
        beside: dict[str, list[str]] = {}
        both = threading.Barrier(2)

        def wait(test: str) -> None:
            if test == "bench":  # so long another one could start beside it
                time.sleep(0.1)
            else:
                both.wait(10)

        def during(test: str) -> None:
            running.append(test)
            wait(test)
            beside[test] = list(running)
            wait(test)
            running.remove(test)

        script.during = during
        sharing = {"alone": ["bench"], "variables": []}
        work(script, tmp_path, a_suite(files("a", "bench", "b")), jobs=3, sharing=sharing)
        assert beside["bench"] == ["bench"]
        assert set(beside["a"]) == set(beside["b"]) == {"a", "b"}

    def test_each_has_a_slot_of_its_own_and_one_at_a_time_has_none(
        self, script: Script, tmp_path: Path
    ) -> None:
        both = threading.Barrier(2)

        def meet(_test: str) -> None:
            both.wait(10)

        script.during = meet
        work(script, tmp_path, a_suite(files("a", "b")), jobs=2)
        assert set(script.slots.values()) == {1, 2}

    def test_a_suites_time_runs_only_while_its_tests_run(self, script: Script, tmp_path: Path) -> None:
        script.during = lambda test: time.sleep(1.2 if test == "long" else 0.1)
        first = a_suite(files("long"), id="first", gpus=2)
        second = a_suite(files("a", "b"), id="second", timeout_s=1.0)
        work(script, tmp_path, first, second, jobs=2, gpu_ids=["0", "1"])
        assert script.of("test-not-run") == []

    def test_a_gpu_whose_memory_stays_in_use_is_taken_out_and_what_needs_it_is_not_run(
        self, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The look at the memory is a double; test_memory.py has the look itself."""
        leaks = {"a": Leak(gpu_ids=("0",), because="5.0 GiB of GPU 0 still in use")}
        last: list[str] = []
        script.during = last.append
        monkeypatch.setattr(SlotMemory, "leak", lambda *_args, **_keys: leaks.pop(last[-1], None))
        narrow, wide = a_suite(files("a", "b"), id="narrow", gpus=1), a_suite(files("c"), id="wide", gpus=2)
        sharing = {"alone": ["a"], "variables": []}
        work(script, tmp_path, narrow, wide, jobs=2, gpu_ids=["0", "1"], sharing=sharing)
        (lost,) = script.of("slot-lost")
        assert (lost["gpu_ids"], lost["test"], lost["because"]) == (
            ["0"],
            "a",
            "5.0 GiB of GPU 0 still in use",
        )
        assert script.ran == [("a", 1, ["0"]), ("b", 1, ["1"])]
        (left,) = script.of("test-not-run")
        assert (left["test"], left["verdict"]) == ("c", "hardware")
        assert left["because"] == "needs 2 GPUs; GPU 0 taken out, 1 left"

    def test_a_device_abort_is_tried_on_another_slots_gpu(self, script: Script, tmp_path: Path) -> None:
        both = threading.Barrier(2)

        def during(_test: str) -> None:
            if len(script.ran) <= 2:
                both.wait(10)

        script.during = during
        script.verdicts = {"a": ["device", "passed"]}
        policy = (retry("device", 2, "other-if-any"),)
        suite = a_suite(files("a", "b", "c"), gpus=1, retries=policy)
        work(script, tmp_path, suite, jobs=2, gpu_ids=["0", "1"])
        gpus = [gpus for test, _, gpus in script.ran if test == "a"]
        assert sorted(gpus) == [["0"], ["1"]]
