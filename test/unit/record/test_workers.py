"""The record of a run on several nodes: workers whose events come as they are read, and workers that are lost."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode
from ci.record.event_json import event_from, json_of
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    By,
    Event,
    Job,
    PhaseEnded,
    PhaseStarted,
    Retry,
    TestEnded,
    TestNotRun,
    TestStarted,
    WorkerEnded,
    WorkerLost,
    WorkerStarted,
)
from ci.record.fold import exit_code, fold
from ci.record.model import RunRecord
from ci.record.state import RunState
from ci.record.values import AttemptOutcome, EndReason, PhaseOutcome, TestName
from support.records import SUITE, run_started

A, B, C = "test/a.py", "test/b.py", "test/c.py"


def from_worker(worker: str, elapsed_s: float, event: Event) -> Event:
    return replace(event, worker=worker, by=By.AGENT, elapsed_s=elapsed_s)


def begins(worker: str, second: int, *, at_s: float | None = None) -> Event:
    time = f"2026-05-29T07:12:{3 + second:02}.000Z"
    event = WorkerStarted(node=f"n{worker}.cluster", host=f"n{worker}", slots=2, time=time, at_s=at_s)
    return from_worker(worker, 0.0, event)


def started(worker: str, elapsed_s: float, test: str, attempt: int = 1) -> Event:
    return from_worker(worker, elapsed_s, TestStarted(suite=SUITE, test=test, attempt=attempt))


def ended(worker: str, elapsed_s: float, test: str, attempt: int = 1, *, passed: bool = True) -> Event:
    outcome = AttemptOutcome.PASSED if passed else AttemptOutcome.FAILED
    verdict = Verdict.PASSED if passed else Verdict.PRODUCT
    end = TestEnded(suite=SUITE, test=test, attempt=attempt, outcome=outcome, verdict=verdict, duration_s=1)
    return from_worker(worker, elapsed_s, end)


def over(worker: str, elapsed_s: float, reason: EndReason = EndReason.DONE) -> Event:
    return from_worker(worker, elapsed_s, WorkerEnded(reason=reason))


def lost(worker: str, *tests: str, at_s: float = 9.0) -> Event:
    names = tuple(TestName(suite=SUITE, test=test) for test in tests)
    return WorkerLost(worker=worker, node=f"n{worker}", because="srun ended", tests=names, at_s=at_s)


def run(events: Iterable[Event], tests: Sequence[str] = (A, B), **more: Any) -> list[Event]:
    head = AgentStarted(worker="head", by=By.AGENT, elapsed_s=0.0, at_s=0.5)
    last = AgentEnded(worker="head", by=By.AGENT, elapsed_s=30.0, **more)
    return [run_started(tests), head, *events, last]


def of(record: RunRecord, test: str) -> tuple[Status, Verdict, list[tuple[int, str, AttemptOutcome]]]:
    found = next(each for each in record.tests if each.id == test)
    attempts = [(each.number, each.worker, each.end.outcome) for each in found.attempts]
    return found.status, found.verdict, attempts


ONE = (begins("1", 1), started("1", 0.5, A), ended("1", 4.0, A), over("1", 5.0))
TWO = (begins("2", 2), started("2", 0.5, B), ended("2", 3.0, B, passed=False), over("2", 6.0))


@given(st.lists(st.booleans(), min_size=len(ONE) + len(TWO), max_size=len(ONE) + len(TWO)))
def test_workers_may_be_read_in_any_order(first: list[bool]) -> None:
    waiting = {True: list(ONE), False: list(TWO)}
    events = [(waiting[choice] or waiting[not choice]).pop(0) for choice in first]
    record = fold(run(events))
    assert record.problems == ()
    assert of(record, A) == (Status.PASSED, Verdict.PASSED, [(1, "1", AttemptOutcome.PASSED)])
    assert of(record, B) == (Status.FAILED, Verdict.PRODUCT, [(1, "2", AttemptOutcome.FAILED)])
    assert [each.attempts[0].started_s for each in record.tests] == [1.5, 2.5]
    assert {each.id: (each.name, each.started_s, each.ended_s, each.reason) for each in record.workers} == {
        "1": ("n1", 1, 6.0, EndReason.DONE),
        "2": ("n2", 2, 8.0, EndReason.DONE),
    }
    assert record.duration_s == 30.5
    assert exit_code(record) == ExitCode.TESTS_FAILED


def test_a_worker_begins_when_it_says_so_however_late_that_is_read() -> None:
    assert fold(run([begins("1", 4, at_s=20.0), over("1", 1.0)])).workers[0].started_s == 4
    # a clock that is ahead of ours says nothing about what was already read
    assert fold(run([begins("1", 50, at_s=6.0), over("1", 1.0)])).workers[0].started_s == 6


def test_the_second_worker_that_runs_a_test_decides() -> None:
    events = [
        begins("1", 1),
        begins("2", 1),
        started("1", 1.0, A),
        lost("1", A),
        started("2", 12.0, A),
        ended("2", 13.0, A),
        over("2", 14.0),
    ]
    record = fold(run(events, [A]))
    attempts = [(1, "1", AttemptOutcome.LOST), (2, "2", AttemptOutcome.PASSED)]
    assert of(record, A) == (Status.PASSED, Verdict.PASSED, attempts)
    first, second = record.tests[0].attempts
    assert first.end.evidence == ("n1 was lost: srun ended",)
    assert (first.start.of, second.start.of) == (1, 2)
    assert record.worker(first.worker) == record.workers[0]
    assert (record.workers[0].is_lost, record.workers[0].ended_s) == (True, 9.0)
    assert record.workers[0].again == (TestName(suite=SUITE, test=A),)
    assert (record.problems, exit_code(record)) == ((), ExitCode.OK)


def test_a_failure_before_the_loss_still_makes_the_test_flaky() -> None:
    retry = from_worker("1", 2.0, Retry(suite=SUITE, test=A, attempt=1))
    events = [
        *(begins("1", 1), started("1", 1.0, A), ended("1", 2.0, A, passed=False), retry),
        *(started("1", 3.0, A, 2), lost("1", A), begins("2", 1), started("2", 12.0, A), ended("2", 13.0, A)),
        over("2", 14.0),
    ]
    status, verdict, attempts = of(fold(run(events, [A])), A)
    assert (status, verdict) == (Status.FLAKY, Verdict.PRODUCT)
    assert [number for number, _, _ in attempts] == [1, 2, 3]


def test_a_lost_test_waits_until_another_worker_has_it() -> None:
    state = RunState()
    seen = []
    for event in (
        run_started([A, B]),
        *(begins("1", 1), started("1", 1.0, A), started("1", 1.0, B), lost("1", B)),
        *(begins("2", 1), started("2", 2.0, B), ended("1", 2.5, B), ended("2", 3.0, B, passed=False)),
    ):
        state.take(event)
        seen.append((state.status((SUITE, A)), state.status((SUITE, B))))
    # what is not given out again is settled at once; a late end of the lost worker is not the end of the second try
    assert seen[4:] == [
        (Status.FAILED, None),
        (Status.FAILED, None),
        (Status.FAILED, None),
        (Status.FAILED, None),
        (Status.FAILED, Status.FAILED),
    ]
    assert [each.is_lost for each in state.workers] == [True, False]


def test_a_test_that_no_worker_is_left_for_is_infrastructure() -> None:
    record = fold(run([begins("1", 1), started("1", 1.0, A), lost("1")], [A]))
    assert of(record, A) == (Status.FAILED, Verdict.INFRA, [(1, "1", AttemptOutcome.UNFINISHED)])
    assert record.tests[0].attempts[0].end.evidence == ("n1 was lost: srun ended",)
    assert exit_code(record) == ExitCode.INFRASTRUCTURE


def test_the_reason_why_a_job_ended_is_that_of_the_test_under_way() -> None:
    because = "Slurm ended job 7: TIMEOUT"
    left = [
        TestNotRun(suite=SUITE, test=each, verdict=Verdict.TIMEOUT, because=because, by=By.CI)
        for each in (A, B)
    ]
    record = fold(run([begins("1", 1), started("1", 1.0, A), *left]))
    assert of(record, A)[:2] == (Status.FAILED, Verdict.TIMEOUT)
    assert of(record, B)[:2] == (Status.NOT_RUN, Verdict.TIMEOUT)
    assert record.tests[0].attempts[0].end.evidence == (because,)
    assert record.problems == ("the events of n1 stop without worker-ended",)


def test_a_retry_that_its_worker_gave_up_leaves_the_failure() -> None:
    retry = from_worker("1", 2.0, Retry(suite=SUITE, test=A, attempt=1))
    state = RunState()
    for event in (
        run_started([A, B]),
        *(begins("1", 1), begins("2", 1), started("1", 1.0, A), ended("1", 2.0, A, passed=False), retry),
    ):
        state.take(event)
    state.take(over("2", 3.0))
    assert state.status((SUITE, A)) is None
    state.take(over("1", 3.0))
    assert state.status((SUITE, A)) is Status.FAILED


def test_phases_of_two_workers_are_two() -> None:
    phases = [
        PhaseStarted(phase="pull", worker="1", at_s=1.0),
        PhaseStarted(phase="pull", worker="2", at_s=2.0),
        PhaseEnded(phase="pull", worker="1", at_s=5.0, duration_s=4.0, outcome=PhaseOutcome.OK),
        PhaseEnded(phase="pull", worker="2", at_s=9.0, duration_s=7.0, outcome=PhaseOutcome.FAILED),
    ]
    found = [(each.worker, each.outcome, each.duration_s) for each in fold(run(phases, [])).phases]
    assert found == [("1", PhaseOutcome.OK, 4.0), ("2", PhaseOutcome.FAILED, 7.0)]


def test_the_job_is_the_one_that_was_seen_last() -> None:
    pending = Job(job="7", cluster="c", state="PENDING", reason="Resources")
    running = Job(job="7", cluster="c", state="RUNNING", nodes=("n1", "n2"))
    assert fold(run([pending, running], [])).job == running


def test_events_of_one_machine_say_nothing_about_workers() -> None:
    assert "worker" not in json_of(TestStarted(suite=SUITE, test=A))
    event = lost("1", A)
    assert event_from(json_of(event)) == event
