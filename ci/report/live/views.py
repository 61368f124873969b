"""Views of a run while it runs: one for a terminal, one for a log, one for GitHub Actions, one for machines."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Protocol, TextIO

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Tone
from ci.record.fold import Event, encode_event, text
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
from ci.report.live.log_lines import Line, Narrator, count_words
from ci.report.live.progress import Running, RunningPhase, Tally
from ci.report.log_tail import LogTails
from ci.report.text import duration, one_line

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
_SCROLLED = frozenset(
    {
        *("run-started", "case", "test-ended", "retry", "test-not-run", "agent-ended"),
        *("phase-ended", "executor-failed"),
    }
)


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
        self._tally = Tally(clock)
        self._narrator = Narrator(self._tally, limits=limits, clock=clock)
        self._time = "--:--:--"

    def show(self, event: Event) -> None:
        self._time = text(event, "time")[11:19] or self._time
        self._tally.take(event)
        for line in self._narrator.lines(event):
            self._stream.write(f"{self._time} {line.text}\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class JsonView:
    """The events themselves, as JSON Lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        self._stream.write(encode_event(event).decode("ascii"))
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
        self._tally = Tally(clock)
        self._narrator = Narrator(self._tally, limits=limits, clock=clock)
        # rich draws from a thread of its own while events change what is drawn
        self._lock = Lock()
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
            vertical_overflow="ellipsis",
        )
        self._live.start()

    def show(self, event: Event) -> None:
        with self._lock:
            self._tally.take(event)
            lines = list(self._narrator.lines(event))
        if event.get("type") in _SCROLLED:
            for line in lines:
                self._console.print(styled(line), soft_wrap=True)

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        with self._lock:
            return draw(self._tally, width=self._console.width)


def styled(line: Line) -> Text:
    """A line in the colour of its tone."""
    return Text(line.text, style=STYLES[line.tone])


def draw(tally: Tally, *, width: int) -> RenderableType:
    """The live part: a title with counts and time left, then two lines for each running test."""
    if not tally.run:
        return Text("")
    title = Table.grid(expand=True, padding=(0, 1))
    title.add_column(ratio=1)
    title.add_column(justify="right", no_wrap=True)
    rehearsal = tally.run.get("rehearsal") is True
    facts = f"{one_line(text(tally.run, 'hardware_class'))}, {one_line(text(tally.run, 'engine'))}"
    name = Text.assemble((tally.title, "bold yellow" if rehearsal else "bold"), (f"  {facts}", "dim"))
    counts = f"{tally.ended}/{tally.total}: {count_words(tally.counts())}"
    left = f"{duration(tally.elapsed_s())} gone, about {duration(tally.left_s())} left"
    title.add_row(name, Text(counts))
    title.add_row(Text(""), Text(left, style="dim"))
    rows: list[RenderableType] = [title]
    rows += [
        part
        for phase in tally.phases.values()
        for part in _phase(tally, phase, width=max(10, min(30, width // 5)))
    ]
    for running in tally.running.values():
        rows.append(_running(tally, running, bar_width=max(10, min(30, width // 5))))
        details = [words for words in (running.progress, running.newest_line) if words]
        rows += [
            Padding(Text(words, style="dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 4))
            for words in details
        ]
    return Group(*rows)


def _phase(tally: Tally, phase: RunningPhase, *, width: int) -> list[RenderableType]:
    """A phase of the executor: its name and time, a bar when its end is known, and what it says of itself."""
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, overflow="fold")
    row.add_column(width=width)
    row.add_column(justify="right", no_wrap=True)
    name = Text.assemble("  ", (one_line(phase.phase), "bold"), f"  {phase.text}" if phase.text else "")
    bar: RenderableType = Text("")
    if phase.total:
        bar = ProgressBar(total=phase.total, completed=min(phase.done, phase.total), width=width)
    row.add_row(name, bar, Text(duration(tally.running_s(phase))))
    if not phase.progress:
        return [row]
    words = Text(phase.progress, style="dim", no_wrap=True, overflow="ellipsis")
    return [row, Padding(words, (0, 0, 0, 4))]


def _running(tally: Tally, running: Running, *, bar_width: int) -> RenderableType:
    gone_s = tally.running_s(running)
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
    only differences mean something; `secrets` are values that Actions must mask; `prefix` stands before the tests'
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
