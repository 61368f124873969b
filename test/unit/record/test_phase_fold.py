"""The executor's phases in the record."""

from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import ExecutorFailed, PhaseEnded, PhaseProgress, PhaseStarted
from ci.record.fold import exit_code, fold
from ci.record.values import PhaseOutcome
from support.records import ended, run_events, run_started

TEST = "test/registered/test_a.py"


def begin(phase: str, text: str = "", second: int = 0) -> PhaseStarted:
    return PhaseStarted(phase=phase, text=text, time=f"2026-05-29T07:12:{3 + second:02}.000Z")


def end(phase: str, outcome: str = "ok", text: str = "", **more: Any) -> PhaseEnded:
    event = PhaseEnded(phase=phase, outcome=PhaseOutcome(outcome), duration_s=1.5, text=text)
    return replace(event, **more)


def go_on(phase: str, done: float | None, total: float | None = None, **more: Any) -> PhaseProgress:
    event = PhaseProgress(phase=phase, text="docker.io", done=done, total=total, unit="bytes")
    return replace(event, **more)


def broken(verdict: str) -> ExecutorFailed:
    return ExecutorFailed(
        what="it broke", cause="because", then="do that", problems=(), verdict=Verdict.of_name(verdict)
    )


def test_a_phase_keeps_what_it_moved_and_what_its_end_reported() -> None:
    record = fold(
        [run_started([TEST]), begin("pull", "image"), go_on("pull", 5, 10), end("pull", text="done")]
    )
    (phase,) = record.phases
    assert (phase.phase, phase.outcome, phase.text, phase.result) == ("pull", "ok", "image", "done")
    assert (phase.done, phase.total, phase.unit, phase.duration_s) == (5, 10, "bytes", 1.5)


def test_a_phase_that_the_record_does_not_end_is_unfinished() -> None:
    (phase,) = fold([run_started([TEST]), begin("pull")]).phases
    assert phase.outcome == "unfinished"


def test_a_phase_that_comes_twice_is_two() -> None:
    record = fold([run_started([TEST]), begin("a"), end("a"), begin("a"), end("a", "failed")])
    assert [phase.outcome for phase in record.phases] == ["ok", "failed"]


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("guard", 6), ("product", 1), ("infra", 4), ("timeout", 5), ("cancelled", 130)],
)
def test_the_run_ends_with_what_broke_it(verdict: str, code: int) -> None:
    record = fold([run_started([TEST]), begin("guards"), end("guards", "failed"), broken(verdict)])
    assert exit_code(record) == code
    (test,) = record.tests
    assert (test.status, test.verdict) == (Status.NOT_RUN, Verdict.of_name(verdict))
    assert test.not_run_because == "the run failed before it: it broke"


def test_a_failed_test_is_not_hidden_by_a_container_that_is_lost_later() -> None:
    events = run_events({TEST: [ended("failed", "product")]}, reason=None)
    assert exit_code(fold([*events, broken("infra")])) == 1


def test_a_warning_after_the_tests_changes_no_exit_code() -> None:
    events = run_events({TEST: [ended("passed", "passed")]})
    assert exit_code(fold([*events, begin("health-after"), end("health-after", "warned")])) == 0


def test_progress_without_a_number_keeps_what_was_known() -> None:
    events = [run_started([TEST]), begin("pull"), go_on("pull", 5, 10), go_on("pull", None), go_on("pull", 7)]
    (phase,) = fold(events).phases
    assert (phase.done, phase.total) == (7, 10)


def test_a_phase_begins_where_its_start_stands_in_the_run() -> None:
    (phase,) = fold([run_started([TEST]), begin("pull", second=4), end("pull")]).phases
    assert (phase.started_s, phase.duration_s) == (4, 1.5)


def test_a_phase_without_an_end_lasted_until_the_record_stops() -> None:
    events = [run_started([TEST]), begin("pull", second=4), begin("install", second=9)]
    assert [(phase.started_s, phase.duration_s) for phase in fold(events).phases] == [(4, 5), (9, 0)]


def test_an_end_without_a_start_began_as_long_before_as_it_says() -> None:
    events = [run_started([TEST]), begin("first", second=4), end("first"), end("second")]
    assert [phase.started_s for phase in fold(events).phases] == [4, 2.5]


def test_phases_that_overlap_get_their_own_progress() -> None:
    events = [
        run_started([TEST]),
        begin("a"),
        begin("b"),
        go_on("a", 1),
        end("b"),
        go_on("a", 2),
        end("a", "warned"),
    ]
    one, two = fold(events).phases
    assert (one.done, one.outcome, two.done, two.outcome) == (2, "warned", None, "ok")
