"""What reports take from a record."""

from ci.record.fold import fold
from ci.record.quarantine import Became, QuarantineRecord
from ci.report.model import quarantined
from support.records import ended, run_events

A, B, C = "a.py", "b.py", "c.py"


def test_what_failed_in_quarantine_comes_first() -> None:
    rows = tuple(QuarantineRecord(test=test, reason="flaky") for test in (A, B, C))
    attempts = {
        A: [ended("passed", "passed")],
        B: [ended("failed", "product")],
        C: [ended("passed", "passed")],
    }
    found = quarantined(fold(run_events(attempts, quarantine=rows)))
    assert [(item.row.test, item.state) for item in found] == [
        (B, Became.FAILED),
        (A, Became.PASSED),
        (C, Became.PASSED),
    ]
    assert all("flaky" in item.words for item in found)
