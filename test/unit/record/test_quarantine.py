"""What a quarantined test does to a run's record and reports."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent import verdict as agent
from ci.agent.judge import FailedCase, Judgement
from ci.agent.spec import Verdict as AgentVerdict
from ci.catalog.limits import ReportLimits
from ci.catalog.quarantine import Quarantine
from ci.catalog.verdicts import CAUSES, Status, Verdict
from ci.record.events import Case, Event, TestEnded, TestNotRun
from ci.record.fold import exit_code, fold
from ci.record.model import Attempt
from ci.record.quarantine import QuarantineRecord
from ci.record.values import CaseOutcome, EndReason
from ci.report.final.junit import junit_xml
from ci.report.live.progress import LiveRun
from ci.report.log_tail import LogTails
from support.records import SUITE, ended, record_of, run_events

TEST = "test/registered/amd/test_x.py"
GREEDY = f"{TEST}::test_greedy"


def row(test: str = GREEDY, **changes: Any) -> Quarantine:
    value = Quarantine(
        test=test,
        hardware=("mi300x",),
        reason="jitter",
        issue="https://github.com/sgl-project/sglang/pull/1",
        since=date(2026, 5, 1),
        expires=date(2026, 6, 30),
    )
    return replace(value, **changes)


nodes = st.sampled_from(
    [TEST, GREEDY, f"{GREEDY}[1]", f"{TEST}::TestA", f"{TEST}::TestA::test_b", f"{TEST}::test_greedy_too"]
)
verdicts = st.sampled_from([*CAUSES, Verdict.TIMEOUT_WHILE_PASSING, Verdict.CANCELLED])
TABLE = [AgentVerdict(id=each, cause=each.row.cause, gates=each.row.gates) for each in Verdict]


def gating(rows: list[str], failed: list[str], *, verdict: Verdict, code: int | None) -> bool:
    """What the agent decides over a failed attempt."""
    attempt = agent.AttemptFacts(
        path=TEST,
        kind="pytest",
        exit_code=code,
        cases=Counter(failed=len(failed)),
        failed=[FailedCase(case=node) for node in failed],
    )
    return agent.gates(rows, attempt, Judgement(outcome="failed", verdict=verdict), TABLE)


@given(st.lists(nodes, min_size=1, max_size=3), verdicts, st.sampled_from([None, 1]))
def test_without_a_row_everything_gates(failed: list[str], verdict: Verdict, code: int | None) -> None:
    assert gating([], failed, verdict=verdict, code=code)


@given(st.lists(nodes, max_size=3), verdicts, st.sampled_from([None, 0, 1, 139]))
def test_a_row_for_the_file_covers_all_but_a_stop(
    failed: list[str], verdict: Verdict, code: int | None
) -> None:
    assert gating([TEST], failed, verdict=verdict, code=code) is (verdict is Verdict.CANCELLED)


ROWS = {
    kind: QuarantineRecord(
        test=test, reason="jitter", issue="https://x/1", since="2026-05-01", expires="2026-06-30"
    )
    for kind, test in (("case", GREEDY), ("file", TEST))
}


def judged(attempt: Attempt, *rows: QuarantineRecord) -> Attempt:
    """The attempt as the agent reports it where these rows hold."""
    ids = [row.test for row in rows]
    cases = tuple(replace(case, quarantine=tuple(agent.covering(ids, case.case))) for case in attempt.cases)
    failed = [case.case for case in attempt.failed_cases]
    gates = gating(ids, failed, verdict=attempt.end.verdict, code=attempt.end.exit_code)
    return replace(attempt, cases=cases, end=replace(attempt.end, gates=gates))


def run_of(*attempts: Attempt, rows: Sequence[QuarantineRecord], **more: Any) -> list[Event]:
    tests = {TEST: [judged(attempt, *rows) for attempt in attempts]}
    return run_events(tests, quarantine=tuple(rows), **more)


def failing(*names: str) -> tuple[Case, ...]:
    return tuple(Case(case=f"{TEST}::{name}", outcome=CaseOutcome.FAILED, message="boom") for name in names)


def failed(verdict: str = "product", *names: str, **more: Any) -> Attempt:
    return ended("failed", verdict, cases=failing(*names), **({"exit_code": 1} | more))


@pytest.mark.parametrize(
    ("kind", "attempt", "status", "code"),
    [
        ("case", failed("product", "test_greedy"), Status.QUARANTINED, 0),
        ("case", failed("product", "test_greedy[1]", "test_greedy[2]"), Status.QUARANTINED, 0),
        ("case", failed("bounds", "test_greedy"), Status.QUARANTINED, 0),
        ("case", failed("product", "test_greedy", "test_other"), Status.FAILED, 1),
        ("case", failed("product", "test_greedy_too"), Status.FAILED, 1),
        ("case", failed("timeout", "test_greedy", exit_code=None, signal="SIGINT"), Status.FAILED, 5),
        ("case", failed("product", "test_greedy", exit_code=None, signal="SIGSEGV"), Status.FAILED, 1),
        ("case", failed("product", exit_code=2), Status.FAILED, 1),
        ("file", failed("product", "test_other"), Status.QUARANTINED, 0),
        ("file", failed("timeout", exit_code=None, signal="SIGINT"), Status.QUARANTINED, 0),
        ("file", failed("hardware", exit_code=None, signal="SIGABRT"), Status.QUARANTINED, 0),
        ("file", failed("cancelled", exit_code=None), Status.CANCELLED, 130),
    ],
)
def test_an_attempt_gates_unless_all_that_failed_is_quarantined(
    kind: str, attempt: Attempt, status: Status, code: int
) -> None:
    record = fold(run_of(attempt, rows=[ROWS[kind]]))
    assert record.tests[0].status is status
    assert exit_code(record) == code


def test_the_deciding_attempt_is_the_last_one() -> None:
    first, last = failed("infra", "test_other"), replace(failed("product", "test_greedy"), number=2)
    record = fold(run_of(first, last, rows=[ROWS["case"]]))
    assert record.tests[0].status is Status.QUARANTINED
    record = fold(run_of(replace(last, number=1), replace(first, number=2), rows=[ROWS["case"]]))
    assert (record.tests[0].status, exit_code(record)) == (Status.FAILED, 4)


def test_what_never_ended_is_not_excused() -> None:
    events = run_of(failed("product", "test_greedy"), rows=[ROWS["file"]], reason=None)
    record = fold([event for event in events if not isinstance(event, TestEnded)])
    assert record.tests[0].status is Status.FAILED
    assert exit_code(record) == 4


def test_what_fail_fast_left_out_counts_when_nothing_that_gates_failed() -> None:
    events = run_of(failed("product", "test_greedy"), rows=[ROWS["case"]], reason=EndReason.FAIL_FAST)
    events.insert(-1, TestNotRun(suite=SUITE, test="b.py", verdict=Verdict.CANCELLED, because="x"))
    assert exit_code(fold(events)) != 0


@given(
    st.lists(st.sampled_from(["test_greedy", "test_greedy[1]", "test_other"]), max_size=3, unique=True),
    st.sampled_from(["product", "timeout", "infra"]),
    st.sampled_from([1, None]),
    st.lists(st.sampled_from(["case", "file"]), max_size=2, unique=True),
)
def test_the_live_view_and_the_record_call_a_test_the_same(
    names: list[str], verdict: str, code: int | None, kinds: list[str]
) -> None:
    events = run_of(failed(verdict, *names, exit_code=code), rows=[ROWS[kind] for kind in kinds])
    live = LiveRun(lambda: 0.0)
    for event in events:
        live.take(event)
    assert live.state.status((SUITE, TEST)) is fold(events).tests[0].status


def test_junit_counts_neither_a_failure_nor_a_pass(report_limits: ReportLimits, tmp_path: Path) -> None:
    tails = LogTails(tmp_path, lines=report_limits.tail_lines)
    attempt = failed("infra", "test_greedy")  # the rules over the log decided, not the case itself
    text = junit_xml(fold(run_of(attempt, rows=[ROWS["case"]])), tails=tails).decode()
    assert 'failures="0" errors="0"' in text
    assert 'type="quarantined"' in text
    mixed = failed("product", "test_greedy", "test_other")
    text = junit_xml(fold(run_of(mixed, rows=[ROWS["case"]])), tails=tails).decode()
    assert 'failures="1"' in text
    assert text.count('type="quarantined"') == 1


def test_the_stored_run_passes_and_says_what_it_passes_over() -> None:
    record = record_of("quarantine")
    assert exit_code(record) == 0
    assert [test.status for test in record.tests] == [Status.QUARANTINED, Status.QUARANTINED, Status.PASSED]
