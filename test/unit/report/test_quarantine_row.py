"""The quarantine row of a failed test: TOML that is ready to be pasted."""

import tomllib
from datetime import date

import pytest

from ci.record.events import Case
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.record.values import CaseOutcome
from ci.report.quarantine_row import quarantine_rows
from support.records import NASTY, ended, run_events

FAILED = CaseOutcome.FAILED


def rows_of(record: RunRecord) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = tomllib.loads(quarantine_rows(record, record.tests[0])).get(
        "quarantine", []
    )
    return rows


def record(outcome: str, verdict: str, *cases: str, **more: str) -> RunRecord:
    failed = tuple(Case(case=case, outcome=FAILED) for case in cases)
    attempt = ended(outcome, verdict, cases=failed, symptom=more.get("symptom", "it broke"))
    return fold(run_events({"a.py": [attempt]}, hardware_class=more.get("hardware", "mi300x")))


def test_a_case_with_all_its_parameters_for_two_weeks() -> None:
    (row,) = rows_of(record("failed", "product", "a.py::test_x[1]", "a.py::test_x[2]"))
    assert row["test"] == "a.py::test_x"
    assert row["hardware"] == ["mi300x"]
    assert row["reason"] == "it broke"
    assert (row["since"], row["expires"]) == (date(2026, 5, 29), date(2026, 6, 12))
    assert str(row["issue"]).startswith("https://")


@pytest.mark.parametrize(
    ("verdict", "cases"),
    [
        ("timeout", ("a.py::test_x",)),
        ("product", ()),
        ("product", tuple(f"a.py::test_{number}" for number in range(4))),
    ],
)
def test_the_file_where_a_case_would_not_do(verdict: str, cases: tuple[str, ...]) -> None:
    assert [row["test"] for row in rows_of(record("failed", verdict, *cases))] == ["a.py"]


@pytest.mark.parametrize(
    ("outcome", "verdict"), [("passed", "passed"), ("failed", "guard"), ("cancelled", "cancelled")]
)
def test_none_where_no_row_would_help(outcome: str, verdict: str) -> None:
    assert rows_of(record(outcome, verdict)) == []


def test_merged_runs_on_several_classes() -> None:
    (row,) = rows_of(record("failed", "product", hardware="mi300x, mi325x"))
    assert row["hardware"] == ["mi300x", "mi325x"]


@pytest.mark.parametrize("nasty", NASTY)
def test_any_text_stays_text(nasty: str) -> None:
    (row,) = rows_of(record("failed", "product", f"a.py::{nasty}".partition("[")[0], symptom=nasty))
    assert set(row) == {"test", "hardware", "reason", "issue", "since", "expires"}
