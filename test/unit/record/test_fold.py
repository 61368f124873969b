"""The record: what its events come to, and the exit code that follows."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    By,
    Event,
    ExecutorFailed,
    Note,
    Retry,
    RunEnded,
    TestEnded,
    TestNotRun,
)
from ci.record.fold import exit_code, fold
from ci.record.model import Attempt
from ci.record.values import EmptyShard, EndReason, Leftover, PlannedTest
from support.records import (
    DATA,
    SUITE,
    attempt_events,
    attempt_lists,
    ended,
    events_of,
    record_of,
    run_events,
    run_started,
    sent_about,
)


class TestFold:
    @settings(max_examples=50)
    @given(st.dictionaries(st.sampled_from(["a.py", "b.py", "c.py"]), attempt_lists(), min_size=1))
    def test_every_attempt_comes_back(self, tests: dict[str, tuple[Attempt, ...]]) -> None:
        record = fold(run_events(tests))
        found = {test.id: test.attempts for test in record.tests}
        assert found == {
            test: tuple(sent_about(attempt, test) for attempt in attempts) for test, attempts in tests.items()
        }
        assert record.problems == ()
        for test in record.tests:
            assert test.last is not None
            assert test.status is not Status.NOT_RUN

    @given(st.lists(st.integers(0, 60), max_size=6))
    def test_a_record_that_lost_events_still_folds_and_is_not_a_pass(self, lost: list[int]) -> None:
        events = [event for number, event in enumerate(events_of("stage-b")) if number not in lost]
        record = fold(events)
        assert exit_code(record) != 0

    @pytest.mark.parametrize(
        ("outcomes", "status", "verdict"),
        [
            (["passed"], Status.PASSED, "passed"),
            (["failed"], Status.FAILED, "product"),
            (["failed", "passed"], Status.FLAKY, "product"),
            (["failed", "failed", "passed"], Status.FLAKY, "product"),
            (["skipped"], Status.SKIPPED, "passed"),
            (["needs-gpu"], Status.NEEDS_GPU, "passed"),
            (["not-judged"], Status.NOT_JUDGED, "passed"),
            # what follows a failure and is no pass proves nothing
            (["failed", "needs-gpu"], Status.FAILED, "product"),
            (["failed", "skipped"], Status.FAILED, "product"),
        ],
    )
    def test_status(self, outcomes: list[str], status: Status, verdict: str) -> None:
        attempts = [
            ended(outcome, "product" if outcome == "failed" else "passed", number)
            for number, outcome in enumerate(outcomes, start=1)
        ]
        (test,) = fold(run_events({"a.py": attempts})).tests
        assert (test.status, test.verdict) == (status, verdict)

    def test_the_last_attempts_verdict_is_the_tests(self) -> None:
        attempts = [ended("failed", "infra", 1), ended("failed", "product", 2)]
        (test,) = fold(run_events({"a.py": attempts})).tests
        assert test.verdict == "product"

    def test_a_failed_test_never_has_the_verdict_passed(self) -> None:
        (test,) = fold(run_events({"a.py": [ended("failed", "passed")]})).tests
        assert test.verdict == "unknown"

    def test_tests_are_in_the_plans_order_whatever_ran_first(self) -> None:
        events = run_events({"b.py": [ended("passed", "passed")], "a.py": [ended("passed", "passed")]})
        events[0] = run_started(["a.py", "c.py", "b.py"])
        assert [test.id for test in fold(events).tests] == ["a.py", "c.py", "b.py"]

    def test_one_file_in_two_suites_is_two_tests(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]})
        both = tuple(PlannedTest(suite=suite, test="a.py", est_s=1) for suite in (SUITE, "other"))
        events[0] = replace(run_started([]), tests=both)
        first, second = fold(events).tests
        assert (first.status, second.status) == (Status.PASSED, Status.NOT_RUN)

    def test_missing_sequence_numbers_are_named(self) -> None:
        events = [Note(text="x", by=By.AGENT, seq=seq) for seq in (1, 2, 5)]
        assert "events 3 to 4 of the agent are missing" in fold(events).problems

    def test_a_cancelled_agent_that_announced_a_retry_leaves_the_failure(self) -> None:
        attempt = ended("failed", "infra", of=2, retry=Retry(wait_s=30, because="infra"))
        (test,) = fold(run_events({"a.py": [attempt]}, reason=EndReason.CANCELLED)).tests
        assert (test.status, test.verdict) == (Status.FAILED, "infra")

    def test_the_stored_run(self) -> None:
        record = record_of("stage-b")
        assert record.title == "stage-b-amd"
        assert (record.start.hardware_class, record.agent.host) == ("mi300x", "mi300x-node-07")
        by_name = {test.id.rpartition("/")[2]: test for test in record.tests}
        assert by_name["test_vision_openai_server.py"].status is Status.FLAKY
        assert by_name["test_mla_fp8.py"].verdict == "timeout-while-passing"
        hung = by_name["test_mla_fp8.py"].attempts[0]
        assert hung.end.leftovers[0] == Leftover(pid=5121, command="sglang::scheduler")
        broken = by_name["test_gsm8k_llama.py"].attempts[0].metrics[0]
        assert broken.bound is not None
        assert (broken.value, broken.bound.limit, broken.bound.ok) == (0.745, 0.78, False)
        assert record.duration_s == pytest.approx(51 * 60, abs=60)
        # attempts follow one another on the run's own time line
        starts = [attempt.started_s for test in record.tests for attempt in test.attempts]
        assert starts == sorted(starts)

    def test_the_run_whose_agent_was_lost(self) -> None:
        lost, never = record_of("lost-agent").tests
        assert (lost.status, lost.verdict) == (Status.FAILED, "infra")
        assert lost.attempts[0].end.outcome == "unfinished"
        assert [case.outcome for case in lost.attempts[0].cases] == ["passed"]
        assert lost.attempts[0].end.duration_s == pytest.approx(210.4)
        assert (never.status, never.verdict) == (Status.NOT_RUN, "infra")
        assert record_of("lost-agent").failures[0].cause.startswith("it was killed by signal 9")


def documented_exits() -> dict[str, int]:
    """The table of verdicts in docs/agent.md."""
    page = (DATA.parents[1] / "docs/agent.md").read_text()
    table = page[page.index("## Verdicts") : page.index("## How an attempt ends")]
    return {
        verdict: int(code)
        for verdict, code in re.findall(r"^\| `([a-z-]+)` \|.*\| (\d+) \|$", table, re.MULTILINE)
    }


class TestExitCode:
    def test_the_table_is_the_documents(self) -> None:
        assert {verdict.value: int(verdict.row.exit_code) for verdict in Verdict} == documented_exits()

    @pytest.mark.parametrize(("verdict", "code"), documented_exits().items())
    def test_by_verdict(self, verdict: str, code: int) -> None:
        outcome = "passed" if verdict == "passed" else "failed"
        assert exit_code(fold(run_events({"a.py": [ended(outcome, verdict)]}))) == code

    def test_a_verdict_that_is_unknown_is_a_failure(self) -> None:
        assert exit_code(fold(run_events({"a.py": [ended("failed", "gremlins")]}))) == 1

    @pytest.mark.parametrize(
        ("verdicts", "code"),
        [
            (["infra", "product", "timeout"], 1),
            (["infra", "bounds", "timeout"], 8),
            (["infra", "timeout"], 5),
            (["product", "cancelled"], 130),
        ],
    )
    def test_the_worst_of_several_decides(self, verdicts: list[str], code: int) -> None:
        tests = {f"{number}.py": [ended("failed", verdict)] for number, verdict in enumerate(verdicts)}
        assert exit_code(fold(run_events(tests))) == code

    def test_flaky_and_skipped_beside_a_pass_are_zero(self) -> None:
        tests = {
            "a.py": [ended("failed", "infra"), ended("passed", "passed", 2)],
            "b.py": [ended("skipped", "passed")],
        }
        assert exit_code(fold(run_events(tests))) == 0

    def test_all_skipped_is_three(self) -> None:
        tests = {name: [ended("skipped", "passed")] for name in ("a.py", "b.py")}
        assert exit_code(fold(run_events(tests))) == 3

    def test_an_empty_shard_is_zero_and_nothing_selected_is_three(self) -> None:
        shard = EmptyShard(suite=SUITE, shard="3/3")
        assert exit_code(fold([run_started([], empty_shards=(shard,))])) == 0
        assert exit_code(fold([run_started([])])) == 3

    def test_no_agent_ended_is_infrastructure_even_when_all_passed(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]}, reason=None)
        assert exit_code(fold(events)) == 4
        assert exit_code(fold([*events, RunEnded(exit_code=130)])) == 130

    def test_a_selected_test_of_which_nothing_is_known_is_infrastructure(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")], "b.py": []})
        assert exit_code(fold(events)) == 4

    def test_a_test_that_started_and_never_ended(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]})
        events = [event for event in events if not isinstance(event, TestEnded)]
        assert exit_code(fold(events)) == 4
        cancelled = [*events[:-1], AgentEnded(reason=EndReason.CANCELLED)]
        assert exit_code(fold(cancelled)) == 130

    def test_fail_fast_ends_with_the_failures_own_code(self) -> None:
        not_run = TestNotRun(suite=SUITE, test="b.py", verdict=Verdict.CANCELLED, because="x")
        events = run_events({"a.py": [ended("failed", "bounds")], "b.py": []}, reason=EndReason.FAIL_FAST)
        assert exit_code(fold([*events[:-1], not_run, events[-1]])) == 8

    def test_a_test_that_found_no_time_is_a_timeout(self) -> None:
        not_run = TestNotRun(suite=SUITE, test="b.py", verdict=Verdict.TIMEOUT, because="x")
        events = run_events({"a.py": [ended("passed", "passed")], "b.py": []})
        assert exit_code(fold([*events[:-1], not_run, events[-1]])) == 5

    def test_what_broke_outside_the_tests_counts(self) -> None:
        broke = ExecutorFailed(what="no image")
        assert exit_code(fold([run_started(["a.py"]), broke])) == 4

    def test_an_empty_record_is_not_a_pass(self) -> None:
        assert exit_code(fold([])) == 4

    @settings(max_examples=50)
    @given(attempt_lists())
    def test_what_run_ended_says_changes_nothing_when_it_is_the_same(
        self, attempts: tuple[Attempt, ...]
    ) -> None:
        events = run_events({"a.py": attempts})
        code = exit_code(fold(events))
        assert exit_code(fold([*events, RunEnded(exit_code=code)])) == code

    @pytest.mark.parametrize(
        ("name", "code"), [("stage-b", 1), ("rehearsal", 1), ("lost-agent", 4), ("cancelled", 130)]
    )
    def test_the_stored_runs(self, name: str, code: int) -> None:
        assert exit_code(record_of(name)) == code


def test_an_attempt_of_a_second_agent_continues_the_time_line() -> None:
    later = "2026-05-29T07:22:03.000Z"
    attempt = ended("passed", "passed", duration_s=5.0)
    events: list[Event] = [
        run_started(["a.py"]),
        AgentStarted(by=By.AGENT, seq=1, elapsed_s=0, time=later),
        *(replace(event, elapsed_s=1.5) for event in attempt_events("a.py", attempt)),
    ]
    (test,) = fold(events).tests
    assert test.attempts[0].started_s == pytest.approx(601.5)
