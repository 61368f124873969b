"""A run of a plan that was not verified, or by what was never run, says so on every surface."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.catalog.limits import ReportLimits
from ci.record.events import Event, RunStarted
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


def surfaces(events: Sequence[Event], limits: ReportLimits, folder: Path) -> dict[str, str]:
    """What each of them shows, by its name."""
    record, tails = fold(events), LogTails(folder, lines=5)
    terminal, log, actions = io.StringIO(), io.StringIO(), io.StringIO()
    show_end(plain_console(terminal), record, folder, report=None)
    views = (
        LogView(log, limits=limits, clock=lambda: 0.0),
        ActionsView(actions, limits=limits, clock=lambda: 0.0, tails=tails),
    )
    for view in views:
        for event in events:
            view.show(event)
        view.close()
    return {
        "terminal": terminal.getvalue(),
        "summary": summary_md(record, tails=tails, limits=limits),
        "html": html_report(record, tails=tails),
        "junit": junit_xml(record, tails=tails).decode(),
        "log": log.getvalue(),
        "Actions": actions.getvalue(),
    }


def saying(shown: Mapping[str, str], *words: str) -> set[str]:
    """The surfaces that have all these words."""
    return {name for name, text in shown.items() if all(word in " ".join(text.split()) for word in words)}


def test_every_surface_says_it_with_the_field(report_limits: ReportLimits, tmp_path: Path) -> None:
    shown = surfaces(EVENTS, report_limits, tmp_path)
    assert saying(shown, "UNVERIFIED", "here it is true") == set(shown)
    assert fold(EVENTS).title.startswith("UNVERIFIED ")
    assert "::error file=a.py,title=UNVERIFIED " in shown["Actions"]
    (start,) = (event for event in EVENTS if isinstance(event, RunStarted))
    assert start.unverified == (FIELD,)


def test_every_surface_says_what_was_never_run(report_limits: ReportLimits, tmp_path: Path) -> None:
    events = run_events({"a.py": [ended("passed", "passed")]}, never_run="runtime apptainer")
    shown = surfaces(events, report_limits, tmp_path)
    assert saying(shown, "NEVER RUN: runtime apptainer") == set(shown)
    usual = surfaces(run_events({"a.py": [ended("passed", "passed")]}), report_limits, tmp_path)
    assert saying(usual, "NEVER RUN") == set()
