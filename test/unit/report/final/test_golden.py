"""Reports of stored runs as they looked when somebody last read them, one or more of each format.

`nox -s tests -- --regenerate-golden` writes them anew; read the difference before it is committed.
"""

import html
import io
import re
from collections.abc import Callable

import pytest

from ci.catalog.limits import ReportLimits
from ci.report.console import plain_console
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.tables import tables
from ci.report.live.github import ActionsView
from ci.report.live.views import LogView, View
from ci.report.log_tail import LogTails
from support.ends import shown_end
from support.records import DATA, EVENTS, events_of, record_of

GOLDEN = DATA / "golden"


def tails(limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=limits.tail_lines)


def all_tables(name: str, limits: ReportLimits) -> str:
    stream = io.StringIO()
    plain_console(stream).print(tables(record_of(name), tails=tails(limits), limits=limits), crop=False)
    # rich fills lines with spaces, which no editor keeps
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def end(name: str, _limits: ReportLimits) -> str:
    return shown_end(record_of(name), width=80, height=40)


def shown(name: str, view: View, stream: io.StringIO) -> str:
    for event in events_of(name):
        view.show(event)
    view.close()
    return stream.getvalue()


def log(name: str, limits: ReportLimits) -> str:
    stream = io.StringIO()
    return shown(name, LogView(stream, limits=limits, clock=lambda: 0.0), stream)


def actions(name: str, limits: ReportLimits) -> str:
    stream = io.StringIO()
    view = ActionsView(stream, limits=limits, clock=lambda: 0.0, tails=tails(limits), secrets=("hf_token",))
    return shown(name, view, stream)


REPORTS: dict[str, Callable[[str, ReportLimits], str]] = {
    "end.txt": end,
    "tables.txt": all_tables,
    "log.txt": log,
    "actions.txt": actions,
    "junit.xml": lambda name, limits: junit_xml(record_of(name), tails=tails(limits)).decode(),
    "summary.md": lambda name, limits: summary_md(record_of(name), tails=tails(limits), limits=limits),
    "report.html": lambda name, limits: html_report(record_of(name), tails=tails(limits)),
}
# `stage-b` has every kind of end; a rehearsal and a container add parts that it does not have. The page has its own tests.
STORED = [
    *(("stage-b", report) for report in REPORTS if report != "report.html"),
    ("rehearsal", "end.txt"),
    ("container", "end.txt"),
    ("container", "tables.txt"),
    ("container", "log.txt"),
]
# What a reader of a run that ended badly has to find in the texts that people read.
SAID = {
    "cancelled": ["exit code 130", "stopped: end of standard input", "not run"],
    "guard": ["dependencies were changed", "exit code 6", "triton: 3.4.0+rocm7.0 -> 3.6.0, by install:aiter"],
    "lost-agent": [
        "the infrastructure failed",
        "exit code 4",
        "killed by signal 9",
        "the last line is unfinished",
    ],
    "quarantine": ["failed but does not gate, in quarantine until 2026-06-20", "is the row still needed?"],
}


@pytest.mark.parametrize(("run", "report"), STORED)
def test_a_report_is_the_stored_one(
    run: str, report: str, report_limits: ReportLimits, *, regenerate_golden: bool
) -> None:
    path = GOLDEN / run / report
    text = REPORTS[report](run, report_limits)
    if regenerate_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        pytest.skip(f"wrote {path}")
    assert text == path.read_text(), "if that is right: nox -s tests -- --regenerate-golden"


@pytest.mark.parametrize("run", SAID)
@pytest.mark.parametrize("report", ["end.txt", "summary.md", "report.html"])
def test_a_run_that_ended_badly_says_why(run: str, report: str, report_limits: ReportLimits) -> None:
    text = re.sub(r"\\(?=[^\w\s])", "", html.unescape(REPORTS[report](run, report_limits)))
    text = text if report.endswith(".md") else " ".join(text.split())
    for words in SAID[run]:
        assert words in text


def test_nothing_is_stored_that_is_not_compared() -> None:
    stored = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()}
    assert stored == {f"{run}/{report}" for run, report in STORED}
