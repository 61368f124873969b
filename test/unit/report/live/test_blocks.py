"""Several tests at a time in a log: one block for each, and the GPUs that were taken out."""

import io
import re
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from ci.catalog.limits import ReportLimits
from ci.record.events import AttemptEvent, Case, Event, SlotLost, TestStarted
from ci.record.fold import fold
from ci.record.values import CaseOutcome
from ci.report.final.html import html_report
from ci.report.final.summary import summary_md
from ci.report.final.terminal import Screen, end_lines
from ci.report.live.github import ActionsView
from ci.report.live.progress import LiveRun
from ci.report.live.terminal import draw
from ci.report.live.views import LogView
from ci.report.log_tail import LogTails
from support.live_views import Clock, play
from support.records import SUITE, attempt_events, ended, run_events, run_started

NAMES = ("a.py", "b.py")
LOST = SlotLost(suite=SUITE, test="a.py", attempt=1, gpu_ids=("3",), because="5.0 GiB of GPU 3 still in use")
WORDS = "MACHINE: GPU 3 was taken out after a.py: 5.0 GiB of GPU 3 still in use"


def of_test(name: str, slot: int) -> list[AttemptEvent]:
    """A test with two failed cases."""
    cases = tuple(
        Case(case=f"{name}::test_{number}", outcome=CaseOutcome.FAILED, message=f"{name} {number}")
        for number in range(2)
    )
    events = list(attempt_events(name, ended("failed", "product", cases=cases)))
    assert isinstance(events[0], TestStarted)
    return [replace(events[0], slot=slot), *events[1:]]


def both_at_a_time() -> list[Event]:
    """Their events in turn."""
    pairs = zip_longest(*(of_test(name, slot) for slot, name in enumerate(NAMES, start=1)))
    return [run_started(NAMES), *filter(None, chain.from_iterable(pairs))]


@pytest.mark.parametrize("actions", [False, True])
def test_what_is_said_about_a_test_is_one_block(report_limits: ReportLimits, *, actions: bool) -> None:
    stream, clock = io.StringIO(), Clock()
    tails = LogTails(Path("/nowhere"), lines=report_limits.tail_lines)
    view = (
        ActionsView(stream, limits=report_limits, clock=clock, tails=tails)
        if actions
        else LogView(stream, limits=report_limits, clock=clock, tails=tails)
    )
    play(view, both_at_a_time())
    said = [line for line in stream.getvalue().splitlines() if not re.search(r" start |::error| tests", line)]
    about = [name for line in said for name in NAMES if name in line]
    # two messages and the end of each
    assert about in (["a.py"] * 3 + ["b.py"] * 3, ["a.py"] * 4 + ["b.py"] * 4)


def test_the_live_view_shows_where_each_test_runs() -> None:
    live = LiveRun(Clock())
    first, second = (of_test(name, slot)[0] for slot, name in enumerate(NAMES, start=1))
    assert isinstance(second, TestStarted)
    for event in (run_started(NAMES), first, replace(second, gpu_ids=("4", "5"))):
        live.take(event)
    _, *rows = (line.plain for line in draw(live, width=100))
    assert [row.split()[:3] for row in rows] == [["slot", "1", "a.py"], ["GPU", "4,5", "b.py"]]


def test_a_gpu_that_was_taken_out_is_in_every_report(report_limits: ReportLimits) -> None:
    record = fold([*run_events({"a.py": [ended("passed", "passed")]}), LOST])
    assert record.lost == (LOST,)
    tails = LogTails(Path("/nowhere"), lines=report_limits.tail_lines)
    assert WORDS in summary_md(record, tails=tails, limits=report_limits)
    assert WORDS in html_report(record, tails=tails)
    assert WORDS in [line.plain for line in end_lines(record, Screen())]
    stream = io.StringIO()
    play(LogView(stream, limits=report_limits, clock=Clock()), [LOST])
    assert WORDS in stream.getvalue()
