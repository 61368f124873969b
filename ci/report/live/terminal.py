"""The view on a terminal: finished tests scroll by above what runs now, with its times and what is left."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Tone
from ci.record import events as ev
from ci.report.console import Console, LiveArea, Text, cell_len, fitted, folded_text
from ci.report.live.blocks import Blocks
from ci.report.live.log_lines import LogLines
from ci.report.live.progress import LiveRun, Running, RunningPhase
from ci.report.live.start import Line
from ci.report.log_tail import LogTails
from ci.report.text import duration, one_line, short_duration, short_path
from ci.report.workers import is_waiting, job_words

__all__ = ["SCROLLED", "STYLES", "TerminalView", "draw", "folded"]

STYLES: dict[Tone, str] = {
    "plain": "",
    "title": "bold",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "dim": "dim",
}

# bars and times move smoothly and cost less than 1 % of a core
_REFRESH_PER_S = 4.0
# What scrolls by above the live part; starts, progress and the like are in the live part itself.
SCROLLED = (
    ev.RunStarted,
    ev.Note,
    ev.Case,
    ev.TestEnded,
    ev.Retry,
    ev.TestNotRun,
    ev.SlotLost,
    ev.RoleEnded,
    ev.AgentEnded,
    ev.PhaseEnded,
    ev.Job,
    ev.WorkerStarted,
    ev.WorkerEnded,
    ev.WorkerLost,
)
_GAP = "  "
# columns that a name keeps, and below which what a test says of itself is left out
_NAME_MIN, _WORDS_MIN = 14, 16


class TerminalView:
    """What runs now, with times and counts, at the bottom of a terminal; finished tests scroll by above it."""

    def __init__(
        self,
        console: Console,
        *,
        limits: ReportLimits,
        clock: Callable[[], float],
        tails: LogTails | None = None,
    ) -> None:
        self._console = console
        self._live = LiveRun(clock)
        self._lines = LogLines(self._live, limits=limits, clock=clock, tails=tails, details=True)
        self._blocks = Blocks()
        self._notice = ""
        # rich draws from a thread of its own while events change what is drawn
        self._lock = Lock()
        self._area = LiveArea(console, self._draw, refresh_per_second=_REFRESH_PER_S)
        self._area.start()

    def show(self, event: ev.Event) -> None:
        with self._lock:
            self._live.take(event)
            lines = self._blocks.take(event, list(self._lines.lines(event)))
        if isinstance(event, SCROLLED):
            self._say(lines)

    def acknowledge(self, line: str) -> None:
        """Say this below what runs, at its next drawing; safe in a signal handler, which may take no lock."""
        self._notice = line

    def close(self) -> None:
        self._say(self._blocks.rest())
        self._area.stop()

    def _say(self, lines: Sequence[Line]) -> None:
        for line in lines:
            for part in folded(line, self._console.width):
                self._console.print(part, soft_wrap=True)

    def _draw(self) -> list[Text]:
        with self._lock:
            found = draw(self._live, width=self._console.width, ascii_only=self._console.options.ascii_only)
        if self._notice:
            found.append(_row(Text(fitted(self._notice, self._console.width), style="bold yellow")))
        return found


def folded(line: Line, width: int) -> Iterator[Text]:
    """A line in the colour of its tone; what does not fit into the width goes on below its own first letter."""
    text = line.text.lstrip(" ")
    indent = " " * min(len(line.text) - len(text), width // 2)
    for part in folded_text(text, width - len(indent)):
        yield Text(indent + part, style=STYLES[line.tone])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What runs, in columns: `done` is the share of its bar, None without one; `words` are what it says of itself."""

    name: str
    done: float | None
    times: str
    words: str
    late: bool = False
    where: str = ""


def draw(live: LiveRun, *, width: int, ascii_only: bool = False) -> list[Text]:
    """The live part: counts and the time left, then one line for each phase and test that runs."""
    run, state = live.state.run, live.state
    if run is None:
        return []
    warned = bool(run.rehearsal or run.unverified or run.never_run)
    head = [(live.title, "bold yellow" if warned else "bold"), (f"{state.settled}/{state.total}", "")]
    if (job := state.job) is not None and is_waiting(job) and not live.running:
        head.append((one_line(job_words(job)), "bold yellow"))
    head += [(f"{count} {status.plain}", status.row.colour) for status, count in state.counts().items()]
    head += [(duration(live.elapsed_s()), "dim"), (_left(live), "dim")]
    rows = [_phase(live, phase) for phase in live.phases.values()]
    rows += [_test(live, running) for running in live.by_node]
    return [*_flow(head, width), *_table(rows, width=width, ascii_only=ascii_only)]


def _left(live: LiveRun) -> str:
    """`~6 min left`: `~` until the pace is known."""
    left_s = live.left_s()
    if live.state.settled == live.state.total:
        return "ending"
    return f"{'' if live.is_paced else '~'}{duration(left_s)} left" if left_s else "past the estimates"


def _phase(live: LiveRun, phase: RunningPhase) -> _Row:
    done = min(phase.done, phase.total) / phase.total if phase.total else None
    words = phase.progress or phase.text
    gone = short_duration(live.running_s(phase))
    return _Row(name=one_line(phase.phase), done=done, times=gone, words=words)


def _test(live: LiveRun, running: Running) -> _Row:
    gone_s, expected_s = live.running_s(running), running.est_s * live.pace
    late = bool(expected_s) and gone_s > expected_s
    about = "" if live.is_paced else "~"
    expected = f" of {about}{short_duration(expected_s)}" if expected_s else ""
    attempt = f"attempt {running.attempt} of {running.of}" if running.attempt > 1 else ""
    newest = (running.progress or running.newest_line).removeprefix(f"{running.test}::")
    words = ", ".join(filter(None, (attempt, newest)))
    return _Row(
        name=one_line(running.test),
        done=min(1.0, gone_s / expected_s) if expected_s else None,
        times=f"{short_duration(gone_s)}{expected}",
        words=words,
        late=late,
        where=running.where,
    )


def _flow(parts: Sequence[tuple[str, str]], width: int) -> Iterator[Text]:
    """Parts side by side, on as many lines as they need."""
    line = Text()
    for words, style in parts:
        shown = fitted(words, width)
        if line.plain and cell_len(line.plain) + len(_GAP) + cell_len(shown) > width:
            yield _row(line)
            line = Text()
        line.append((_GAP if line.plain else "") + shown, style=style)
    yield _row(line)


def _table(rows: Sequence[_Row], *, width: int, ascii_only: bool) -> Iterator[Text]:
    """GPUs or slot where there are several, name, bar, times and words in columns that line up; a narrow terminal goes without words, then without bars."""
    if not rows:
        return
    bar = (0 if width < 60 else 8 if width < 100 else 16) if any(row.done is not None for row in rows) else 0
    times = max(len(row.times) for row in rows)
    where = max(len(row.where) for row in rows)
    fixed = len(_GAP) * 2 + times + (len(_GAP) + bar if bar else 0) + (where + len(_GAP) if where else 0)
    longest = max(cell_len(row.name) for row in rows)
    room = max(_NAME_MIN, width - fixed)
    name = min(longest, room)
    if any(row.words for row in rows) and room - name < _WORDS_MIN:
        # half of what is left for each, where both have something to show
        name = max(_NAME_MIN, min(name, room - max(_WORDS_MIN, room // 2)))
    for row in rows:
        shown = short_path(row.name, name)
        line = Text(_GAP)
        if where:
            line.append(f"{row.where:<{where}}{_GAP}", style="dim")
        line.append(f"{shown}{' ' * max(0, name - cell_len(shown))}{_GAP}")
        if bar:
            line.append(_bar(row, bar, ascii_only=ascii_only)).append(_GAP)
        line.append(f"{row.times:>{times}}", style="yellow" if row.late else "")
        words = width - cell_len(line.plain) - len(_GAP)
        if row.words and words >= _WORDS_MIN // 2:
            line.append(_GAP + fitted(row.words, words), style="dim")
        yield _row(line)


def _bar(row: _Row, width: int, *, ascii_only: bool) -> Text:
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    if row.done is None:
        return Text(" " * width)
    done = round(row.done * width)
    return Text.assemble((full * done, "yellow" if row.late else "cyan"), (empty * (width - done), "dim"))


def _row(line: Text) -> Text:
    """A line that no terminal breaks."""
    line.no_wrap, line.overflow = True, "crop"
    return line
