"""Every report of the stored runs, compared with what it looked like when somebody last looked at it.

    python -m pytest test/unit/test_report_golden.py --regenerate-golden

writes them anew; read the difference before it is committed.
"""

import io
from collections.abc import Callable

import pytest

from ci.catalog.limits import ReportLimits
from ci.report.console import plain_console
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.svg import picture
from ci.report.final.terminal import final_view
from ci.report.live.github import ActionsView
from ci.report.live.views import LogView, View
from ci.report.log_tail import LogTails
from support.records import DATA, EVENTS, events_of, record_of

GOLDEN = DATA / "golden"


def tails(limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=limits.tail_lines)


def final(name: str, limits: ReportLimits) -> str:
    stream = io.StringIO()
    plain_console(stream).print(final_view(record_of(name), tails=tails(limits), limits=limits), crop=False)
    # rich fills lines with spaces, which no editor keeps
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


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
    "final.txt": final,
    "log.txt": log,
    "actions.txt": actions,
    "junit.xml": lambda name, limits: junit_xml(record_of(name), tails=tails(limits)).decode(),
    "summary.md": lambda name, limits: summary_md(record_of(name), tails=tails(limits), limits=limits),
    "report.html": lambda name, limits: html_report(record_of(name), tails=tails(limits)),
    "terminal.svg": lambda name, limits: picture(record_of(name), tails=tails(limits), limits=limits),
}


@pytest.mark.parametrize(
    "run", ["stage-b", "rehearsal", "lost-agent", "cancelled", "quarantine", "container", "guard"]
)
@pytest.mark.parametrize("report", REPORTS)
def test_the_report_is_the_stored_one(
    run: str, report: str, report_limits: ReportLimits, *, regenerate_golden: bool
) -> None:
    path = GOLDEN / run / report
    text = REPORTS[report](run, report_limits)
    if regenerate_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        pytest.skip(f"wrote {path}")
    assert text == path.read_text(), (
        "if it is meant: pytest test/unit/test_report_golden.py --regenerate-golden"
    )


def test_nothing_is_stored_that_no_report_writes() -> None:
    stored = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()}
    assert {name.rpartition("/")[2] for name in stored} == set(REPORTS)
