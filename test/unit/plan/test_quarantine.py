"""Quarantine: which rows hold on a day, what a bad one ends with, and what a quarantined test does to a run."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent import verdict as agent
from ci.agent.spec import Verdict as AgentVerdict
from ci.catalog.catalog import Catalog, read_catalog
from ci.catalog.limits import ReportLimits
from ci.catalog.quarantine import Quarantine, QuarantineTable
from ci.catalog.verdicts import CAUSES, Status, Verdict
from ci.cli.main import main
from ci.errors import ExitCode, QuarantineError
from ci.plan.quarantine import applying, expiring, quarantine_problems, require_sound_quarantine
from ci.record.events import Event, TestEnded, TestNotRun
from ci.record.fold import exit_code, fold
from ci.record.model import Attempt, CaseOutcome, CaseRecord, EndReason
from ci.record.quarantine import QuarantineRecord
from ci.report.final.junit import junit_xml
from ci.report.live.progress import LiveRun
from ci.report.log_tail import LogTails
from support.catalog_files import CATALOG_DIR, CatalogCopy
from support.planning import catalog, discovery, facts, mi300x, planned, registration, request
from support.records import SUITE, ended, record_of, run_events

TEST = "test/registered/amd/test_x.py"
GREEDY = f"{TEST}::test_greedy"
DAY = date(2026, 5, 29)


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


def with_rows(*rows: Quarantine) -> Catalog:
    return replace(catalog(), quarantine=QuarantineTable(rows=rows, problems=()))


# --- the file


@pytest.fixture
def edit(catalog_copy: CatalogCopy) -> Callable[[str, str], list[str]]:
    """Replace a text in a copy of quarantine.toml and read it again; nothing else is wrong with the catalog."""

    def change(old: str, new: str) -> list[str]:
        catalog_copy.replace("catalog/quarantine.toml", old, new)
        read, problems = read_catalog(catalog_copy.rows, catalog_copy.envs)
        assert problems == (), "the quarantine's problems are of their own kind"
        return [str(problem) for problem in read.quarantine.problems]

    return change


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('issue = "', 'isue = "', "issue: is missing"),
        ('issue = "https', 'issue = "#', "issue: invalid value '#://"),
        ("since = 2026-04-21", "since = 2028-04-21", "since 2028-04-21 is after expires 2027-04-21"),
        ("expires = 2027-04-21\n", "", "expires: is missing (a date"),
        ("expires = 2027-04-21", 'expires = "next spring"', "is 'next spring', not a date"),
        ("expires = 2027-04-21", 'expires = "20270421"', "not a date"),
        ("expires = 2027-04-21", "expires = 2027-04-21T08:00:00", "not a date"),
        ("expires = 2027-04-21", "expires = 365", "is 365, not a date"),
        ('"mi300x"', '"mi300"', "hardware: unknown hardware class 'mi300' (did you mean"),
        ('["mi300x"]', "[]", "hardware: is empty"),
        ("reason =", "because =", "reason: is missing"),
        ("[[quarantine]]", "[[quarantin]]", "quarantin: unknown table"),
    ],
)
def test_a_bad_row_is_named_by_its_test(
    edit: Callable[[str, str], list[str]], old: str, new: str, found: str
) -> None:
    problems = edit(old, new)
    assert any(found in problem for problem in problems), problems
    if "table" not in found:
        assert "quarantine[test/registered/amd/test_flaky.py::test_greedy]" in problems[0]


def test_a_date_may_be_a_string(edit: Callable[[str, str], list[str]]) -> None:
    assert edit("since = 2026-04-21", 'since = "2026-04-21"') == []


def test_a_test_has_one_row_for_a_class(edit: Callable[[str, str], list[str]]) -> None:
    text = (CATALOG_DIR / "quarantine.toml").read_text()
    (problem,) = edit("[[quarantine]]", text[text.index("[[quarantine]]") :] + "\n[[quarantine]]")
    assert "appears twice for mi300x" in problem


# --- on a day

days = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(days, days, days)
def test_a_row_holds_from_its_first_day_to_its_last_and_is_expired_after(
    since: date, expires: date, today: date
) -> None:
    one = row(since=since, expires=expires)
    holds = applying([one], hardware_class="mi300x", today=today, tests=[TEST]) == (one,)
    assert holds == (since <= today <= expires)
    tests = discovery([registration(TEST)])
    found = quarantine_problems(with_rows(one), tests, today=today, own=False)
    assert bool(found) == (today > expires)
    if found:
        assert f"has expired: it was valid until {expires}, today is {today}" in str(found[0])
        assert GREEDY in str(found[0])


@given(days)
def test_its_end_is_reported_two_weeks_ahead(today: date) -> None:
    told = expiring(with_rows(row()), today=today)
    left = (row().expires - today).days
    assert bool(told) == (0 <= left < 14)


def test_rows_of_other_hardware_and_other_tests_do_not_hold() -> None:
    rows = [row(), row(TEST), row(f"{TEST}::TestA::test_b[1]"), row("test/other.py::test_greedy")]
    held = applying(rows, hardware_class="mi300x", today=DAY, tests=[TEST])
    assert [one.test for one in held] == [GREEDY, TEST, f"{TEST}::TestA::test_b[1]"]
    assert applying(rows, hardware_class="mi325x", today=DAY, tests=[TEST]) == ()


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("test/registered/gone.py", "no such registered test"),
        ("test/registered/gone.py::test_a", "no such registered test"),
        (f"{TEST}::test_gredy", "has no case 'test_gredy' (did you mean 'test_greedy'?)"),
        (f"{TEST}::test_gredy[2-x]", "has no case 'test_gredy[2-x]'"),
        (f"{TEST}::test_greedy[2-x]", ""),
        (TEST, ""),
    ],
)
def test_a_test_that_is_not_there_is_a_problem_in_our_own_tree(test: str, found: str) -> None:
    tests = replace(discovery([registration(TEST)]), cases={TEST: ("test_greedy",)})
    problems = [str(one) for one in quarantine_problems(with_rows(row(test)), tests, today=DAY, own=True)]
    assert any(found in problem for problem in problems) if found else problems == []
    assert quarantine_problems(with_rows(row(test)), tests, today=DAY, own=False) == ()


def test_what_is_wrong_is_exit_7_with_every_row() -> None:
    expired = [row(expires=DAY - timedelta(days=n)) for n in (1, 2)]
    with pytest.raises(QuarantineError) as caught:
        require_sound_quarantine(with_rows(*expired), discovery([]), today=DAY, own=False)
    assert caught.value.exit_code is ExitCode.QUARANTINE
    assert len(caught.value.problems) == 2
    assert "nox -s check" in caught.value.then


@pytest.mark.usefixtures("own_tree")
class TestTheWholeWay:
    """Through the command line."""

    def test_check_fails_on_the_day_after(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2027-04-22")
        assert main(["check"]) == 7
        shown = capsys.readouterr()
        assert "test_flaky.py::test_greedy]: has expired" in shown.err
        assert "error (exit 7)" in shown.err
        assert "NOT TODAY'S DATE" in shown.out

    def test_check_passes_on_the_last_day_and_warns_before_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_TODAY", "2027-04-21")
        assert main(["check", "--json"]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any("is valid until 2027-04-21, 0 days from now" in note for note in notes)

    def test_a_date_that_is_none_is_a_usage_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for text in ("tomorrow", "20270422", "2027-02-30", "2027-W10-1"):
            monkeypatch.setenv("AMD_CI_TODAY", text)
            assert main(["check"]) == 2
            assert f"AMD_CI_TODAY is {text!r}, not a date" in capsys.readouterr().err

    def test_a_plan_is_refused_as_well(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            "ci.cli.planning.gather_machine", lambda *_, **_k: facts([], today=date(2027, 4, 22))
        )
        assert main(["plan", "stage_a_amd"]) == 7
        assert (
            "test_greedy]: has expired: it was valid until 2027-04-21, today is 2027-04-22"
            in capsys.readouterr().err
        )


# --- in a plan


def test_a_plan_names_what_holds_and_says_so_in_its_notes() -> None:
    world = mi300x([registration(TEST)], today=DAY)
    plan = planned(with_rows(row(), row(f"{TEST}::test_b", hardware=("cpu",))), world, request())
    assert plan.work.quarantine == (GREEDY,)
    assert any(
        note.startswith(f"quarantined until 2026-06-30, does not gate: {GREEDY}: jitter")
        for note in plan.notes
    )
    other = planned(with_rows(), world, request())
    assert other.digest != plan.digest, "what gates is part of the work"


def test_a_date_that_is_only_tried_is_shown_first() -> None:
    world = facts([registration(TEST)], today=DAY, today_source="AMD_CI_TODAY", today_tried=True)
    notes = planned(with_rows(), world, request()).notes
    assert f"NOT TODAY'S DATE: quarantine is judged as on {DAY} (AMD_CI_TODAY)" in notes


# --- what gates

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
        failed=[agent.FailedCase(case=node) for node in failed],
    )
    return agent.gates(rows, attempt, agent.Judgement(outcome="failed", verdict=verdict), TABLE)


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
    gates = gating(ids, failed, verdict=attempt.verdict, code=attempt.exit_code)
    return replace(attempt, cases=cases, gates=gates)


def run_of(*attempts: Attempt, rows: Sequence[QuarantineRecord], **more: Any) -> list[Event]:
    tests = {TEST: [judged(attempt, *rows) for attempt in attempts]}
    return run_events(tests, quarantine=tuple(rows), **more)


def failing(*names: str) -> tuple[CaseRecord, ...]:
    return tuple(
        CaseRecord(case=f"{TEST}::{name}", outcome=CaseOutcome.FAILED, message="boom") for name in names
    )


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
        ("file", failed("cancelled", exit_code=None), Status.FAILED, 130),
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


# --- how it is shown


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
