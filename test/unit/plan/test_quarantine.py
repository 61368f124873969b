"""Which quarantine rows hold on a day, and what a plan says of them."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.catalog import Catalog
from ci.catalog.quarantine import Quarantine, QuarantineTable
from ci.errors import ExitCode, QuarantineError
from ci.plan.quarantine import applying, expiring, quarantine_problems, require_sound_quarantine
from support.planning import catalog, discovery, facts, mi300x, planned, registration, request

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
def test_its_end_is_reported_days_ahead(today: date) -> None:
    catalog = with_rows(row())
    notices = expiring(catalog, today=today)
    left = (row().expires - today).days
    assert bool(notices) == (0 <= left < catalog.limits.policy.quarantine_notice_days)


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


def test_a_plan_names_what_holds_and_says_so_in_its_notes() -> None:
    here = mi300x([registration(TEST)], today=DAY)
    plan = planned(with_rows(row(), row(f"{TEST}::test_b", hardware=("cpu",))), here, request())
    assert plan.work.quarantine == (GREEDY,)
    assert any(
        note.startswith(f"quarantined until 2026-06-30, does not gate: {GREEDY}: jitter")
        for note in plan.notes
    )
    other = planned(with_rows(), here, request())
    assert other.digest != plan.digest, "what gates is part of the work"


def test_a_date_that_is_only_tried_is_shown_first() -> None:
    here = facts([registration(TEST)], today=DAY, today_source="AMD_CI_TODAY", today_tried=True)
    notes = planned(with_rows(), here, request()).notes
    assert f"NOT TODAY'S DATE: quarantine is judged as on {DAY} (AMD_CI_TODAY)" in notes
