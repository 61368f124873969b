"""A run at every moment of it: what is settled, what still waits, and what a lost event leaves behind."""

from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    By,
    Event,
    ExecutorFailed,
    Retry,
    RunEnded,
    RunStarted,
    SuiteEnded,
    SuiteStarted,
    TestEnded,
    TestNotRun,
    TestStarted,
    Unknown,
)
from ci.record.fold import exit_code, fold
from ci.record.model import RunRecord
from ci.record.quarantine import Became, QuarantineRecord, words
from ci.record.state import RunState
from ci.record.values import AttemptOutcome, EndReason
from support.records import SUITE, attempt_events, ended, run_events, run_started

A, B, C = "test/a.py", "test/b.py", "test/c.py"


def state(*events: Event, tests: tuple[str, ...] = (A, B), **more: Any) -> RunState:
    made = RunState()
    for event in (run_started(list(tests), **more), AgentStarted(by=By.AGENT), *events):
        made.take(event)
    return made


def started(test: str, attempt: int = 1, **more: Any) -> TestStarted:
    return TestStarted(suite=SUITE, test=test, attempt=attempt, by=By.AGENT, **more)


def end(test: str, attempt: int = 1, *, passed: bool = True, **more: Any) -> TestEnded:
    outcome = AttemptOutcome.PASSED if passed else AttemptOutcome.FAILED
    verdict = Verdict.PASSED if passed else Verdict.PRODUCT
    return TestEnded(
        suite=SUITE, test=test, attempt=attempt, by=By.AGENT, outcome=outcome, verdict=verdict, **more
    )


def retry(test: str, attempt: int = 1) -> Retry:
    return Retry(suite=SUITE, test=test, attempt=attempt, by=By.AGENT, because="again")


def at(second: int, event: Event) -> Event:
    return replace(event, time=f"2026-05-29T07:12:{second:02}.000Z")


class TestWhileItGoesOn:
    def test_a_test_is_settled_when_its_last_attempt_has_ended(self) -> None:
        seen = [
            (made.settled, made.total, made.status((SUITE, A)))
            for made in (
                state(),
                state(started(A)),
                state(started(A), end(A, passed=False)),
                state(started(A), end(A, passed=False), retry(A)),
                state(started(A), end(A, passed=False), retry(A), started(A, 2)),
                state(started(A), end(A, passed=False), retry(A), started(A, 2), end(A, 2)),
            )
        ]
        assert seen == [
            (0, 2, None),
            (0, 2, None),
            (1, 2, Status.FAILED),
            (0, 2, None),
            (0, 2, None),
            (1, 2, Status.FLAKY),
        ]

    def test_a_test_that_nobody_knows_has_no_status(self) -> None:
        assert state().status((SUITE, "other.py")) is None
        assert state().newest((SUITE, "other.py")) is None
        assert state().newest((SUITE, A)) is None

    def test_tests_are_counted_by_status_in_the_order_of_the_reports(self) -> None:
        made = state(started(B), end(B, passed=False), started(A), end(A), started(C), tests=(A, B, C))
        assert list(made.counts().items()) == [(Status.PASSED, 1), (Status.FAILED, 1)]

    def test_what_waits_or_runs_is_what_is_left_to_do(self) -> None:
        made = state(started(A, est_s=99), started(C, est_s=7), started(B), end(B))
        assert made.waiting_s() == {(SUITE, A): 10, (SUITE, C): 7}

    def test_the_newest_attempt_is_the_one_with_the_highest_number(self) -> None:
        made = state(started(A), end(A, passed=False), started(A, 2))
        newest = made.newest((SUITE, A))
        assert newest is not None
        assert (newest.number, newest.end.outcome) == (2, AttemptOutcome.UNFINISHED)

    def test_a_row_in_quarantine_is_reported_with_what_became_of_it(self) -> None:
        row = QuarantineRecord(test=A, reason="flaky", issue="#1", expires="2026-07-01")
        made = state(started(A), end(A), started(B), end(B), quarantine=(row,))
        assert made.quarantined((SUITE, A)) == ((row, Became.PASSED),)
        assert made.quarantined((SUITE, B)) == made.quarantined((SUITE, C)) == ()
        assert RunState().quarantine == ()


@pytest.mark.parametrize("end_", list(Became))
def test_a_row_is_shown_with_its_day_reason_and_issue(end_: Became) -> None:
    shown = words(QuarantineRecord(test=A, reason="flaky", issue="#1", expires="2026-07-01"), end_)
    for part in ("2026-07-01", "flaky", "#1"):
        assert part in shown
    assert len({words(QuarantineRecord(test=A), each) for each in Became}) == len(Became)


class TestAtItsEnd:
    def test_a_test_that_was_left_out_after_it_failed_stays_failed(self) -> None:
        left_out = TestNotRun(suite=SUITE, test=A, because="no time", verdict=Verdict.TIMEOUT)
        assert state(started(A), end(A, passed=False), left_out).status((SUITE, A)) is Status.FAILED
        assert state(left_out).status((SUITE, A)) is Status.NOT_RUN

    def test_a_retry_that_was_announced_and_never_began_leaves_the_failure(self) -> None:
        made = state(started(A), end(A, passed=False), retry(A), started(B), AgentEnded(by=By.AGENT))
        assert (made.status((SUITE, A)), made.status((SUITE, B))) == (Status.FAILED, None)

    def test_an_attempt_that_was_running_lasted_until_its_last_event(self) -> None:
        more = replace(started(B), by=By.CI)
        events = [run_started([A, B]), at(5, started(A)), at(9, replace(end(A), attempt=2)), at(30, more)]
        first, second = fold(events).tests[0].attempts
        assert (first.started_s, first.end.duration_s) == (2, 0)
        assert (second.started_s, second.number) == (6, 2)

    def test_attempts_without_a_start_and_a_run_without_its_plan_are_named(self) -> None:
        record = fold([AgentStarted(by=By.AGENT), end(A, 2), AgentEnded(by=By.AGENT)])
        assert any(f"{A}: the start of attempt 2 is missing" in problem for problem in record.problems)
        assert any("run-started is missing" in problem for problem in record.problems)
        assert exit_code(record) == ExitCode.INFRASTRUCTURE

    def test_a_whole_record_has_no_problem(self) -> None:
        assert fold(run_events({A: [ended("passed", "passed")]})).problems == ()

    def test_an_agent_that_does_not_say_that_it_ended_is_a_problem(self) -> None:
        record = fold(run_events({A: [ended("passed", "passed")]}, reason=None))
        assert any("agent-ended" in problem for problem in record.problems)
        assert record.ended_reason is None

    def test_events_of_another_version_are_named(self) -> None:
        assert any("'gpu-heat'" in problem for problem in state(Unknown(name="gpu-heat")).record().problems)

    def test_the_agent_says_what_the_run_does_not(self) -> None:
        agent = AgentStarted(by=By.AGENT, python="3.10.1", time="2026-05-29T08:00:00.000Z")
        record = fold([RunStarted(run="R"), agent])
        assert (record.start.python, record.start.time) == ("3.10.1", agent.time)
        record = fold([RunStarted(run="R", python="3.12.0", time="2026-05-29T07:00:00.000Z"), agent])
        assert (record.start.python, record.start.time) == ("3.12.0", "2026-05-29T07:00:00.000Z")

    def test_a_suite_keeps_its_limit_and_gets_its_length(self) -> None:
        record = state(
            SuiteStarted(suite=SUITE, timeout_s=60),
            SuiteEnded(suite=SUITE, duration_s=7),
            SuiteEnded(suite="x"),
        ).record()
        assert [(suite.id, suite.timeout_s, suite.duration_s) for suite in record.suites] == [
            (SUITE, 60, 7),
            ("x", 0, 0),
        ]


class TestTime:
    def test_it_counts_from_the_first_event_and_never_runs_backwards(self) -> None:
        record = fold([run_started([A]), at(40, started(A)), at(20, end(A))])
        assert record.duration_s == 37

    def test_the_agents_own_clock_counts_from_its_start(self) -> None:
        events = [
            run_started([A]),
            at(13, AgentStarted(by=By.AGENT, elapsed_s=0, seq=1)),
            replace(started(A), elapsed_s=5, seq=2),
            replace(end(A), elapsed_s=8.5, seq=3),
        ]
        record = fold(events)
        assert record.tests[0].attempts[0].started_s == 15
        assert record.duration_s == 18.5

    @pytest.mark.parametrize("time", ["", "soon", "0001-01-01T00:00:00+23:59"])
    def test_an_event_without_a_time_changes_nothing(self, time: str) -> None:
        assert fold([run_started([A]), replace(started(A), time=time), at(9, end(A))]).duration_s == 6

    def test_events_that_are_missing_are_named_by_their_numbers(self) -> None:
        numbers = [1, 2, 5]
        events = [replace(started(A), seq=number) for number in numbers]
        assert fold([run_started([A]), *events]).problems == ("events 3 to 4 of the agent are missing",)
        again = [AgentStarted(by=By.AGENT, seq=1), replace(started(A), seq=2)]
        record = fold([run_started([A]), *again, *again])
        assert not [problem for problem in record.problems if "missing" in problem]


class TestReasons:
    def ended_as(self, *reasons: EndReason | None) -> EndReason | None:
        events: list[Event] = [run_started([A])]
        for reason in reasons:
            events.append(AgentStarted(by=By.AGENT))
            events += [AgentEnded(by=By.AGENT, reason=reason)] if reason is not None else []
        return fold(events).ended_reason

    def test_of_several_agents_the_worst_counts(self) -> None:
        done, cancelled, fast = EndReason.DONE, EndReason.CANCELLED, EndReason.FAIL_FAST
        assert self.ended_as() is None
        assert self.ended_as(done, done) is done
        assert self.ended_as(done, fast, done) is fast
        assert self.ended_as(done, None) is self.ended_as(None, done) is None
        assert self.ended_as(fast, cancelled, None) is cancelled

    @pytest.mark.parametrize(
        ("last", "verdict", "because"),
        [
            ([], Verdict.INFRA, "no event of this test"),
            ([RunEnded(exit_code=130)], Verdict.CANCELLED, "no event of this test"),
            (
                [AgentEnded(reason=EndReason.CANCELLED, by=By.AGENT)],
                Verdict.CANCELLED,
                "no event of this test",
            ),
            (
                [ExecutorFailed(what="no disk", verdict=Verdict.GUARD)],
                Verdict.GUARD,
                "failed before it: no disk",
            ),
            (
                [TestNotRun(suite=SUITE, test=A, verdict=Verdict.TIMEOUT, because="no time is left")],
                Verdict.TIMEOUT,
                "no time is left",
            ),
        ],
    )
    def test_why_a_test_did_not_run(self, last: list[Event], verdict: Verdict, because: str) -> None:
        (test,) = fold([run_started([A]), AgentStarted(by=By.AGENT), *last]).tests
        assert (test.status, test.verdict) == (Status.NOT_RUN, verdict)
        assert because in test.not_run_because

    @pytest.mark.parametrize(
        "events",
        [
            [AgentEnded(by=By.AGENT, reason=EndReason.CANCELLED)],
            [AgentEnded(by=By.AGENT), RunEnded(exit_code=130)],
            [AgentEnded(by=By.AGENT), ExecutorFailed(what="stopped", verdict=Verdict.CANCELLED)],
        ],
    )
    def test_a_run_that_was_stopped_is_130_although_all_passed(self, events: list[Event]) -> None:
        passed = [*attempt_events(A, ended("passed", "passed"))]
        assert exit_code(fold([run_started([A]), AgentStarted(by=By.AGENT), *passed, *events])) == 130


def test_a_clock_that_is_set_changes_no_duration() -> None:
    """Hours forth and back while a test runs, by the wall clock of host and agent."""

    def told(hours: int) -> RunRecord:
        wall = f"2026-05-29T{12 + hours:02d}:00:00.000Z"
        start, agent, *rest, end = run_events({"a.py": [ended("passed", "passed", duration_s=5.0)]})
        timed = [
            replace(start, time="2026-05-29T12:00:00.000Z", at_s=0.0),
            replace(agent, time="2026-05-29T12:00:01.000Z", at_s=1.0, elapsed_s=0.0),
            *(replace(event, time=wall, at_s=2.0 + n, elapsed_s=1.0 + n) for n, event in enumerate(rest)),
            replace(end, time=wall, at_s=60.0, elapsed_s=59.0),
        ]
        return fold(timed)

    same, forth, back = (told(hours) for hours in (0, 5, -7))
    assert same.duration_s == 60.0
    for record in (forth, back):
        assert record.duration_s == same.duration_s
        assert [test.attempts[0].started_s for test in record.tests] == [
            test.attempts[0].started_s for test in same.tests
        ]
