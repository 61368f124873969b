"""What is no pass is said on every surface: rows without a value, cases that are expected to fail, an attempt that was stopped."""

import html
import re
from pathlib import Path

import pytest

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.errors import ExitCode
from ci.record.events import Case
from ci.record.fold import exit_code, fold
from ci.record.model import Attempt, RunRecord
from ci.record.values import BoundRecord, CaseOutcome, EndReason, UnmeasuredRecord
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.log_tail import LogTails
from support.ends import shown_end
from support.records import ended, run_events

TEST = "test/registered/a.py"
ROW = BoundRecord(ok=False, op="<", limit=12, source="a source")


def record(attempt: Attempt, reason: EndReason = EndReason.DONE) -> RunRecord:
    return fold(run_events({TEST: [attempt]}, reason=reason))


def reports(record: RunRecord, limits: ReportLimits) -> dict[str, str]:
    tails = LogTails(Path("/nowhere"), lines=3)
    texts = {
        "terminal": shown_end(record, width=80, height=40),
        "summary": summary_md(record, tails=tails, limits=limits),
        "html": html_report(record, tails=tails),
        "junit": junit_xml(record, tails=tails).decode(),
    }
    return {name: html.unescape(re.sub(r"\s+", " ", text)) for name, text in texts.items()}


@pytest.mark.parametrize(
    ("outcome", "verdict", "because", "code"),
    [("failed", "product", "", ExitCode.TESTS_FAILED), ("passed", "passed", "no vision", ExitCode.OK)],
)
def test_a_row_without_a_value_stands_as_unmeasured(
    outcome: str, verdict: str, because: str, code: ExitCode, report_limits: ReportLimits
) -> None:
    lacking = UnmeasuredRecord(metric="median_ttft_ms", unit="ms", bound=ROW, because=because)
    made = record(ended(outcome, verdict, unmeasured=(lacking,)))
    assert exit_code(made) == code
    for name, text in reports(made, report_limits).items():
        assert "median_ttft_ms" in text, name
        assert "unmeasured" in text, name
        assert because in text or name == "terminal"


def test_a_row_without_a_value_is_not_hidden_by_another_whose_name_holds_its_own() -> None:
    names = ("ttft", "ttft_ms", "ttft_ms_p90")
    lacking = tuple(
        UnmeasuredRecord(
            metric=name, bound=ROW, because="no vision" if name == "ttft" else "", failed=name != "ttft"
        )
        for name in names
    )
    evidence = (
        "unmeasured: no value of 'ttft_ms' was judged",
        "unmeasured: no value of 'ttft_ms_p90' was judged",
    )
    made = record(ended("failed", "product", unmeasured=lacking, evidence=evidence))
    lines = [line for line in shown_end(made, width=200, height=40).splitlines() if "unmeasured" in line]
    # the failure itself has the first one's
    assert [line.partition(" of ")[0] for line in lines[:2]] == [
        "unmeasured: ttft_ms_p90",
        "unmeasured: ttft",
    ]
    assert "'ttft_ms'" in lines[2]
    assert len(lines) == 3


def test_a_file_of_expected_failures_is_no_pass(report_limits: ReportLimits) -> None:
    cases = (
        Case(case=f"{TEST}::test_a", outcome=CaseOutcome.XFAILED, message="a known defect"),
        Case(case=f"{TEST}::test_b", outcome=CaseOutcome.XPASSED, message="a known defect"),
    )
    made = record(ended("xfailed", "passed", cases=cases))
    assert (made.tests[0].status, exit_code(made)) == (Status.XFAILED, ExitCode.NOTHING_SELECTED)
    for name, text in reports(made, report_limits).items():
        assert "xfailed" in text, name
        assert "a known defect" in text, name
        assert "1 passed" not in text, name
    assert reports(made, report_limits)["junit"].count("<skipped") == 2


def test_expected_failures_are_counted_apart_beside_a_pass(report_limits: ReportLimits) -> None:
    cases = (
        Case(case=f"{TEST}::test_a", outcome=CaseOutcome.XFAILED, message="a known defect"),
        Case(case=f"{TEST}::test_b", outcome=CaseOutcome.PASSED),
    )
    for name, text in reports(record(ended("passed", "passed", cases=cases)), report_limits).items():
        assert "1 case is expected to fail, with no date: no pass" in text, name


@pytest.mark.parametrize("outcome", ["cancelled", "unfinished"])
def test_a_test_that_was_stopped_is_cancelled_and_not_failed(
    outcome: str, report_limits: ReportLimits
) -> None:
    evidence = ("interrupted; running: test_a",)
    made = record(ended(outcome, "cancelled", evidence=evidence), EndReason.CANCELLED)
    assert (made.tests[0].status, exit_code(made)) == (Status.CANCELLED, ExitCode.INTERRUPTED)
    assert [test.id for test in made.to_repeat] == [TEST]
    for name, text in reports(made, report_limits).items():
        assert "interrupted; running: test_a" in text, name
        assert "1 failed" not in text, name


def test_a_failure_before_the_stop_stays_a_failure() -> None:
    attempts = [ended("failed", "product", 1, of=2), ended("cancelled", "cancelled", 2, of=2)]
    made = fold(run_events({TEST: attempts}, reason=EndReason.CANCELLED))
    assert (made.tests[0].status, made.tests[0].verdict) == (Status.FAILED, "product")
