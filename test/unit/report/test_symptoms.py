"""Failures with one symptom stand together in every report."""

import io
import xml.etree.ElementTree as ET

from ci.catalog.limits import ReportLimits
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.report.console import plain_console
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.tables import tables
from ci.report.log_tail import LogTails
from ci.report.model import shared_symptoms, troubles
from support.records import EVENTS, ended, run_events

ONE, OTHER = (
    "RuntimeError: no peer on port # @ server.py:wait",
    "AssertionError: assert # == # @ test_b.py:test_b",
)
SAME = f"3 tests with the same symptom: {ONE}"


def record() -> RunRecord:
    tests = {
        "a.py": [ended("failed", "product", symptom=ONE)],
        "b.py": [ended("failed", "product", symptom=OTHER)],
        "c.py": [ended("failed", "infra", symptom=ONE)],
        "d.py": [ended("failed", "device", of=2, symptom=ONE), ended("passed", "passed", 2)],
        "e.py": [ended("failed", "product")],
        "f.py": [ended("failed", "product")],
        "g.py": [ended("passed", "passed")],
    }
    return fold(run_events(tests))


def test_tests_with_one_symptom_are_a_group_and_follow_each_other() -> None:
    groups = shared_symptoms(record())
    assert {symptom: [test.id for test in tests] for symptom, tests in groups.items()} == {
        ONE: ["a.py", "c.py", "d.py"]
    }
    assert [item.test.id for item in troubles(record())] == ["a.py", "c.py", "b.py", "e.py", "f.py", "d.py"]


def test_every_report_has_the_group_and_each_symptom(report_limits: ReportLimits) -> None:
    tails = LogTails(EVENTS, lines=report_limits.tail_lines)
    stream = io.StringIO()
    plain_console(stream).print(tables(record(), tails=tails, limits=report_limits), crop=False)
    assert SAME in stream.getvalue()
    assert f"symptom: {OTHER}" in stream.getvalue()
    summary = (
        summary_md(record(), tails=tails, limits=report_limits).replace("&#35;", "#").replace("&#64;", "@")
    )
    assert SAME in summary.replace("&#58;", ":")
    html = html_report(record(), tails=tails)
    assert SAME in html
    assert OTHER in html
    properties = {
        item.attrib["name"]: item.attrib["value"]
        for item in ET.fromstring(junit_xml(record(), tails=tails)).iter("property")  # our own
    }
    assert properties["symptom: a.py"] == ONE
    assert properties["symptom: b.py"] == OTHER
    assert "symptom: g.py" not in properties
