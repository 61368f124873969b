"""In Actions no text of a run becomes a workflow command, in whatever field it is and wherever it is printed."""

import io
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, TextIO, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.catalog.limits import ReportLimits
from ci.errors import CiError, Problem
from ci.record.events import Event
from ci.record.fold import fold
from ci.report.console import plain_console
from ci.report.final.tables import tables
from ci.report.final.terminal import show_end
from ci.report.live.github import ActionsView
from ci.report.live.views import JsonView
from ci.report.log_tail import LogTails
from ci.system.inert import guarded
from support.actions_runner import strict_commands, wide_commands
from support.live_views import Clock, play
from support.records import EVENTS, events_of

_T = TypeVar("_T")

TALK = (
    "::error file=x::y",
    "\n::add-path::/evil\n",
    "\r::set-output name=a::b",
    "  \t::stop-commands::token\n",
    "##[add-mask]e",
    "\n##[group]x\n##[endgroup]\n",
    "\x1b[31m::error::red\x1b[0m",
    "\n\ufeff::error::x",
    "\u2028::error::x",
    "#\x1b[0m#[error]z",
    "\x85::group::x",
    "\x0b::debug::x\x0c##[debug]y",
    "%0A::error::x",
    ":",
    "#",
    "[",
)
talk = st.lists(st.sampled_from(TALK), min_size=1, max_size=3).map("".join)

# What is not free text: times, and names of files that a report opens.
FIXED = {"time", "log"}


def tainted(value: _T, words: str) -> _T:
    """The value with these words before every text in it, at any depth."""
    result: Any = value
    if isinstance(value, str) and not isinstance(value, Enum):
        result = words + value
    elif isinstance(value, tuple):
        result = tuple(tainted(each, words) for each in value)
    elif isinstance(value, Mapping):
        result = {key: tainted(each, words) for key, each in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        changes = {
            field.name: tainted(getattr(value, field.name), words)
            for field in fields(value)
            if field.name not in FIXED
        }
        result = replace(value, **changes)
    return cast("_T", result)


def printed(events: list[Event], limits: ReportLimits, words: str) -> str:
    """All that a run prints: live, as JSON, at its end, and its error."""
    stream = io.StringIO(newline="")
    stdout = cast("TextIO", guarded(stream))
    tails = LogTails(EVENTS, lines=limits.tail_lines)
    play(ActionsView(stdout, limits=limits, clock=Clock(), tails=tails), events)
    play(JsonView(stdout), events)
    console = plain_console(stdout)
    console.print(tables(fold(events), tails=tails, limits=limits), crop=False)
    show_end(console, fold(events), EVENTS, report=None)
    problem = Problem(where=words, what=words, hint=words)
    stdout.write(CiError(words, cause=words, then=words, problems=[problem]).render() + "\n")
    return stream.getvalue()


@cache
def commands_of_clean(run: str, limits: ReportLimits) -> list[str]:
    return [command.name for command in strict_commands(printed(events_of(run), limits, "x"))]


@pytest.mark.parametrize("run", ["container", "guard", "lost-agent", "quarantine", "rehearsal", "stage-b"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(words=talk)
def test_a_run_full_of_commands_gives_the_runner_the_same_commands_as_a_clean_one(
    report_limits: ReportLimits, run: str, words: str
) -> None:
    limits = replace(report_limits, annotations_max=1000)
    found = printed([tainted(event, words) for event in events_of(run)], limits, words)
    expected = commands_of_clean(run, limits)
    assert [command.name for command in strict_commands(found)] == expected
    assert [command.name for command in wide_commands(found)] == expected
