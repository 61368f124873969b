"""Views of a run while it runs: one for a terminal, one for a log, one for GitHub Actions, one for machines."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, TextIO

from ci.catalog.limits import ReportLimits
from ci.record.event_log import line_of
from ci.record.events import Capsule, Event
from ci.report.console import open_console
from ci.report.live.blocks import Blocks
from ci.report.live.github import ActionsView
from ci.report.live.log_lines import LogLines
from ci.report.live.progress import LiveRun
from ci.report.live.start import Line
from ci.report.live.terminal import TerminalView
from ci.report.log_tail import LogTails
from ci.system.inert import inert_json
from ci.system.output import say_at_once

__all__ = ["ActionsView", "JsonView", "LogView", "TerminalView", "View", "Views", "open_view"]

Clock = Callable[[], float]


class View(Protocol):
    """Shows the events of one run as they happen."""

    def show(self, event: Event) -> None:
        """Take the next event."""

    def acknowledge(self, line: str) -> None:
        """Say this in the middle of whatever is shown; called in a signal handler."""

    def close(self) -> None:
        """End the view; what it showed stays on the screen."""


class LogView:
    """Plain lines, each with the UTC time of its event; a `terminal` is spared the capsule, the run folder is there."""

    def __init__(
        self,
        stream: IO[str],
        *,
        limits: ReportLimits,
        clock: Clock,
        tails: LogTails | None = None,
        terminal: bool = False,
    ) -> None:
        self._stream = stream
        self._terminal = terminal
        self._live = LiveRun(clock)
        self._lines = LogLines(self._live, limits=limits, clock=clock, tails=tails)
        self._blocks = Blocks()
        self._time = "--:--:--"

    def show(self, event: Event) -> None:
        self._time = event.time[11:19] or self._time
        self._live.take(event)
        if self._terminal and isinstance(event, Capsule):
            return
        self._say(self._blocks.take(event, list(self._lines.lines(event))))

    def acknowledge(self, line: str) -> None:
        say_at_once(line)

    def close(self) -> None:
        self._say(self._blocks.rest())

    def _say(self, lines: Iterable[Line]) -> None:
        self._stream.writelines(f"{self._time} {line.text}\n" for line in lines)
        self._stream.flush()


class JsonView:
    """The events themselves, as JSON Lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        self._stream.write(inert_json(line_of(event).decode("ascii")))
        self._stream.flush()

    def acknowledge(self, line: str) -> None:
        """Say nothing: standard output is for machines."""

    def close(self) -> None:
        self._stream.flush()


class Views:
    """Several views of the same run."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = tuple(views)

    def show(self, event: Event) -> None:
        for view in self._views:
            view.show(event)

    def acknowledge(self, line: str) -> None:
        for view in self._views:
            view.acknowledge(line)

    def close(self) -> None:
        for view in self._views:
            view.close()


def open_view(
    environ: Mapping[str, str],
    *,
    json: bool,
    run_dir: Path,
    limits: ReportLimits,
    clock: Clock,
    secrets: Sequence[str] = (),
    prefix: str = "",
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> View:
    """The view that fits where the run is started from.

    With `json` standard output gets the events and people are shown the run on standard error. In GitHub Actions
    it is groups and annotations, on a terminal the live view, else a plain log. `clock` gives seconds of which
    only differences mean something; `secrets` are values that Actions must mask; `prefix` comes before the tests'
    paths in the job's workspace.
    """
    console = open_console(environ, json=json, stdout=stdout, stderr=stderr)
    tails = LogTails(run_dir, lines=limits.tail_lines)
    view: View
    if environ.get("GITHUB_ACTIONS") == "true":
        view = ActionsView(
            console.file, limits=limits, clock=clock, tails=tails, secrets=secrets, prefix=prefix
        )
    elif console.is_terminal and not console.is_dumb_terminal:
        view = TerminalView(console, limits=limits, clock=clock, tails=tails)
    else:
        terminal = console.is_terminal
        view = LogView(console.file, limits=limits, clock=clock, tails=tails, terminal=terminal)
    return Views((JsonView(stdout or sys.stdout), view)) if json else view
