"""A run of a plan that was not verified says so on every surface."""

import io
from pathlib import Path

from ci.catalog.limits import ReportLimits
from ci.record.events import RunStarted
from ci.record.fold import fold
from ci.report.console import plain_console
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.terminal import show_end
from ci.report.live.github import ActionsView
from ci.report.live.views import LogView
from ci.report.log_tail import LogTails
from support.records import ended, run_events

FIELD = "rehearsal: the plan says false, here it is true"
EVENTS = run_events({"a.py": [ended("failed", "product")]}, unverified=(FIELD,))


def test_every_surface_says_it_with_the_field(report_limits: ReportLimits, tmp_path: Path) -> None:
    record, tails = fold(EVENTS), LogTails(tmp_path, lines=5)
    terminal, log, actions = io.StringIO(), io.StringIO(), io.StringIO()
    show_end(plain_console(terminal), record, tmp_path, report=None)
    views = (
        LogView(log, limits=report_limits, clock=lambda: 0.0),
        ActionsView(actions, limits=report_limits, clock=lambda: 0.0, tails=tails),
    )
    for view in views:
        for event in EVENTS:
            view.show(event)
        view.close()
    shown = {
        "terminal": terminal.getvalue(),
        "summary": summary_md(record, tails=tails, limits=report_limits),
        "html": html_report(record, tails=tails),
        "junit": junit_xml(record, tails=tails).decode(),
        "log": log.getvalue(),
        "Actions": actions.getvalue(),
    }
    assert {
        name
        for name, text in shown.items()
        if "UNVERIFIED" in text and "here it is true" in " ".join(text.split())
    } == set(shown)
    assert record.title.startswith("UNVERIFIED ")
    assert "::error file=a.py,title=UNVERIFIED " in shown["Actions"]
    (start,) = (event for event in EVENTS if isinstance(event, RunStarted))
    assert start.unverified == (FIELD,)
