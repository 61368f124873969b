"""Views of a run while it runs: one for a terminal, one for a log, one for GitHub Actions, one for machines."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Protocol, TextIO

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Tone
from ci.record.event_log import line_of
from ci.record.events import (
    AgentEnded,
    Case,
    Event,
    ExecutorFailed,
    PhaseEnded,
    Retry,
    RunStarted,
    TestEnded,
    TestNotRun,
)
from ci.report.console import (
    Console,
    Group,
    Live,
    Padding,
    ProgressBar,
    RenderableType,
    Table,
    Text,
    open_console,
)
from ci.report.live.github import ActionsView
from ci.report.live.log_lines import Line, LogLines, count_words
from ci.report.live.progress import LiveRun, Running, RunningPhase
from ci.report.log_tail import LogTails
from ci.report.text import duration, one_line
from ci.system.inert import inert_json

__all__ = ["ActionsView", "JsonView", "LogView", "TerminalView", "View", "Views", "open_view"]

Clock = Callable[[], float]

STYLES: dict[Tone, str] = {
    "plain": "",
    "title": "bold",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "dim": "dim",
}

# What scrolls by above the live part; starts, progress and the like are in the live part itself.
# bars and times move smoothly and cost less than 1 % of a core
_REFRESH_PER_S = 4.0
_SCROLLED = (RunStarted, Case, TestEnded, Retry, TestNotRun, AgentEnded, PhaseEnded, ExecutorFailed)


class View(Protocol):
    """Shows the events of one run as they happen."""

    def show(self, event: Event) -> None:
        """Take the next event."""

    def close(self) -> None:
        """End the view; what it showed stays on the screen."""


class LogView:
    """Plain lines, each with the UTC time of its event."""

    def __init__(self, stream: IO[str], *, limits: ReportLimits, clock: Clock) -> None:
        self._stream = stream
        self._live = LiveRun(clock)
        self._lines = LogLines(self._live, limits=limits, clock=clock)
        self._time = "--:--:--"

    def show(self, event: Event) -> None:
        self._time = event.time[11:19] or self._time
        self._live.take(event)
        for line in self._lines.lines(event):
            self._stream.write(f"{self._time} {line.text}\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class JsonView:
    """The events themselves, as JSON Lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        self._stream.write(inert_json(line_of(event).decode("ascii")))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class Views:
    """Several views of the same run."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = tuple(views)

    def show(self, event: Event) -> None:
        for view in self._views:
            view.show(event)

    def close(self) -> None:
        for view in self._views:
            view.close()


class TerminalView:
    """What runs now, with times and counts, at the bottom of a terminal; finished tests scroll by above it."""

    def __init__(self, console: Console, *, limits: ReportLimits, clock: Clock) -> None:
        self._console = console
        self._live = LiveRun(clock)
        self._lines = LogLines(self._live, limits=limits, clock=clock)
        # rich draws from a thread of its own while events change what is drawn
        self._lock = Lock()
        self._display = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
            vertical_overflow="ellipsis",
        )
        self._display.start()

    def show(self, event: Event) -> None:
        with self._lock:
            self._live.take(event)
            lines = list(self._lines.lines(event))
        if isinstance(event, _SCROLLED):
            for line in lines:
                self._console.print(styled(line), soft_wrap=True)

    def close(self) -> None:
        self._display.stop()

    def _draw(self) -> RenderableType:
        with self._lock:
            return draw(self._live, width=self._console.width)


def styled(line: Line) -> Text:
    """A line in the colour of its tone."""
    return Text(line.text, style=STYLES[line.tone])


def draw(live: LiveRun, *, width: int) -> RenderableType:
    """The live part: a title with counts and time left, then two lines for each running test."""
    run, state = live.state.run, live.state
    if run is None:
        return Text("")
    title = Table.grid(expand=True, padding=(0, 1))
    title.add_column(ratio=1)
    title.add_column(justify="right", no_wrap=True)
    facts = f"{one_line(run.hardware_class)}, {one_line(run.engine)}"
    name = Text.assemble(
        (live.title, "bold yellow" if run.rehearsal or run.unverified else "bold"), (f"  {facts}", "dim")
    )
    counts = f"{state.settled}/{state.total}: {count_words(state.counts())}"
    left = f"{duration(live.elapsed_s())} gone, about {duration(live.left_s())} left"
    title.add_row(name, counts)
    title.add_row("", Text(left, style="dim"))
    rows: list[RenderableType] = [title]
    rows += [
        part
        for phase in live.phases.values()
        for part in _phase(live, phase, width=max(10, min(30, width // 5)))
    ]
    for running in live.running.values():
        rows.append(_running(live, running, bar_width=max(10, min(30, width // 5))))
        details = [words for words in (running.progress, running.newest_line) if words]
        rows += [
            Padding(Text(words, style="dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 4))
            for words in details
        ]
    return Group(*rows)


def _phase(live: LiveRun, phase: RunningPhase, *, width: int) -> list[RenderableType]:
    """A phase of the executor: its name and time, a bar when its end is known, and what it says of itself."""
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, overflow="fold")
    row.add_column(width=width)
    row.add_column(justify="right", no_wrap=True)
    name = Text.assemble("  ", (one_line(phase.phase), "bold"), f"  {phase.text}" if phase.text else "")
    bar: RenderableType = Text("")
    if phase.total:
        bar = ProgressBar(total=phase.total, completed=min(phase.done, phase.total), width=width)
    row.add_row(name, bar, duration(live.running_s(phase)))
    if not phase.progress:
        return [row]
    words = Text(phase.progress, style="dim", no_wrap=True, overflow="ellipsis")
    return [row, Padding(words, (0, 0, 0, 4))]


def _running(live: LiveRun, running: Running, *, bar_width: int) -> RenderableType:
    gone_s = live.running_s(running)
    over_s = gone_s - running.est_s
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, overflow="fold")
    row.add_column(width=bar_width)
    row.add_column(justify="right", no_wrap=True)
    attempt = f"  attempt {running.attempt} of {running.of}" if running.attempt > 1 else ""
    name = Text.assemble("  ", one_line(running.test), (attempt, "yellow"))
    bar = ProgressBar(
        total=running.est_s or 1.0,
        completed=min(gone_s, running.est_s) if running.est_s else 0.0,
        width=bar_width,
        finished_style="yellow",
    )
    times = f"{duration(gone_s)} of {duration(running.est_s)}"
    words = (
        Text(f"{times}, {duration(over_s)} over", style="yellow")
        if over_s > 0 and running.est_s
        else Text(times)
    )
    row.add_row(name, bar, words)
    return row


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
    view: View
    if environ.get("GITHUB_ACTIONS") == "true":
        tails = LogTails(run_dir, lines=limits.tail_lines)
        view = ActionsView(
            console.file, limits=limits, clock=clock, tails=tails, secrets=secrets, prefix=prefix
        )
    elif console.is_terminal and not console.is_dumb_terminal:
        view = TerminalView(console, limits=limits, clock=clock)
    else:
        view = LogView(console.file, limits=limits, clock=clock)
    return Views((JsonView(stdout or sys.stdout), view)) if json else view
