"""The last lines of a run, next to the prompt: what failed and why, how many, the report and the line that repeats it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.verdicts import Status
from ci.errors import ExitCode
from ci.record.model import RunRecord
from ci.record.quarantine import Became
from ci.record.values import Leftover, PhaseOutcome
from ci.report import model
from ci.report.console import Console, Text, fitted, folded_text
from ci.report.final.failures import Failure, failures
from ci.report.repeat import repeat_here
from ci.report.text import duration, never_run_words, one_line, short_path, strip_ansi, unverified_words

__all__ = ["Screen", "end_lines", "show_end"]

_GAP, _INDENT = "  ", "    "
# lines of a screen that counts, result, report, command, Nox's own line and the prompt take
_BELOW = 9
# lines for failures on the smallest screen
_LEAST = 10
# of reasons, metrics, leftovers and the like: the report has them all
_FEW = 5
# columns in which one line holds no evidence
_NARROW = 60
# where there is no width: of a message; and of failures
_LONG, _MANY = 300, 200
_WORDS = {Status.FAILED: "FAILED", Status.FLAKY: "FLAKY"}

# a line with its style, before it is fitted
_Styled = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the lines have to fit into; a log has no width and no height (0)."""

    width: int = 0
    height: int = 0

    def room(self, taken: int) -> int:
        """Lines for failures, below so many others."""
        return max(_LEAST, self.height - _BELOW - taken) if self.height else _MANY


def show_end(console: Console, record: RunRecord, run_dir: Path, *, report: Path | None) -> None:
    """Print them; `report` is the page to look at, None where it could not be written."""
    terminal = console.is_terminal and not console.is_dumb_terminal
    screen = Screen(width=console.width, height=console.height) if console.is_terminal else Screen()
    for line in end_lines(record, screen):
        console.print(line, soft_wrap=True)
    # a path or a command that is broken cannot be copied
    page = report or run_dir
    link = f"link {page.absolute().as_uri()}" if terminal else ""
    label = "report: " if report is not None else "run folder: "
    console.print(Text.assemble((label, "dim"), (_shown_path(page, screen.width), link)), soft_wrap=True)
    # what was invalid would be again
    again = model.result(record).code not in (ExitCode.OK, ExitCode.USAGE)
    if again and (command := _command(record, run_dir, screen)):
        console.print(Text.assemble(("repeat it: ", "dim"), (one_line(command), "bold")), soft_wrap=True)


def _command(record: RunRecord, run_dir: Path, screen: Screen) -> str:
    """The line that repeats it; the time in a run's name is enough of it where no other run has the same."""
    name = record.start.run
    stamp = name.partition("-")[0]
    alone = len(list(run_dir.absolute().parent.glob(f"{stamp}-*"))) == 1
    return repeat_here(record, run=stamp if alone else name, width=screen.width)


def _shown_path(path: Path, width: int) -> str:
    """The path as it is copied: from here where the whole does not fit."""
    path, here = path.absolute(), Path.cwd()
    if width and len(f"report: {path}") > width and path.is_relative_to(here):
        path = path.relative_to(here)
    return one_line(str(path))


def end_lines(record: RunRecord, screen: Screen) -> Iterator[Text]:
    """What needs attention, worst last, then counts and result; each line in the screen's width."""
    above = [line for text, style in _asides(record) for line in _folded(text, style, screen)]
    yield from above
    room = screen.room(len(above))
    shown, left = failures(record, most=room, roomy=room // 2 if screen.width else room)
    if left:
        yield from _folded(f"FAILED {left} more tests: the report has all", "bold red", screen)
    roomy = len(shown) * 2 <= room
    for failure in shown:
        for line in _failure(failure, screen, roomy=roomy):
            if screen.width:
                line.truncate(screen.width, overflow="crop")
            yield line
    for text, style in (*_outside(record), *_result(record)):
        yield from _folded(text, style, screen)


def _folded(text: str, style: str, screen: Screen) -> Iterator[Text]:
    """A line, on as many as it takes."""
    if not screen.width:
        yield Text(text, style=style)
        return
    indent = len(text) - len(text.lstrip(" "))
    for line in folded_text(text.lstrip(" "), screen.width - indent):
        yield Text(" " * indent + line, style=style)


# --- what failed --------------------------------------------------------------------------------------------


def _failure(failure: Failure, screen: Screen, *, roomy: bool) -> Iterator[Text]:
    """`FAILED file:line case  verdict  why`; what is too long for one line gets another for the evidence where there is room."""
    whole = _line(failure, failure.where, failure.case, fitted(failure.why, _LONG))
    if not screen.width or whole.cell_len <= screen.width:
        yield whole
    elif roomy or screen.width < _NARROW:
        yield _line(failure, *_place(failure, screen.width), "")
        if failure.why:
            yield Text(_INDENT + fitted(failure.why, screen.width - len(_INDENT)))
    else:
        where, case = _place(failure, screen.width - min(30, screen.width // 3))
        room = screen.width - _line(failure, where, case, "").cell_len - len(_GAP)
        yield _line(failure, where, case, fitted(failure.why, room) if room > len(_INDENT) else "")


def _line(failure: Failure, where: str, case: str, why: str) -> Text:
    style = failure.status.row.colour
    parts: list[str | tuple[str, str]] = [(_WORDS[failure.status], style), f" {where}"]
    parts += [f" {case}"] if case else []
    plural = "s" if failure.more > 1 else ""
    parts += [f" (+{failure.more} case{plural})"] if failure.more else []
    parts += [_GAP, (failure.verdict, style)]
    parts += [f"{_GAP}{why}"] if why else []
    return Text.assemble(*parts)


def _place(failure: Failure, width: int) -> tuple[str, str]:
    """Path and case in this width: the path goes down to its name first, then the case is cut."""
    case = failure.case
    fixed = _line(failure, "", "", "").cell_len
    name = len(failure.where.rpartition("/")[2])
    where = short_path(failure.where, max(width - fixed - len(case) - 1, min(name, width - fixed)))
    room = width - fixed - len(where) - 1
    return where, fitted(case, room) if room > len(_INDENT) else ""


# --- what else must not be silent ---------------------------------------------------------------------------


def _few(lines: Iterable[_Styled], *, what: str) -> Iterator[_Styled]:
    """The first of them, and how many more there are."""
    found = list(lines)
    yield from found[:_FEW]
    if len(found) > _FEW:
        yield f"and {len(found) - _FEW} more {what}: the report has all", found[-1][1]


def _asides(record: RunRecord) -> Iterator[_Styled]:
    """What did not run, was not judged, or failed without a say."""
    yield from _few(
        (
            (f"{len(names)} {one_line(because)}" + (f": {one_line(names[0])}" if len(names) == 1 else ""), "")
            for because, names in model.unfinished(record).items()
        ),
        what="reasons",
    )
    debts = model.expected_failures(record)
    yield from _few(
        ((f"{len(names)} expected to fail: {one_line(why)}", "yellow") for why, names in debts.items()),
        what="reasons",
    )
    yield from _few(_unmeasured(record), what="metrics")
    for item in model.quarantined(record):
        style = "magenta" if item.state is Became.FAILED else "dim"
        yield f"QUARANTINED {one_line(item.row.test)} {one_line(item.words)}", style
    for phase in model.phase_rows(record):
        if phase.outcome is PhaseOutcome.WARNED:
            yield (
                f"WARNING {one_line(phase.phase)}: {one_line(strip_ansi(phase.result or phase.text))}",
                "yellow",
            )
    for words in model.lost_lines(record):
        yield one_line(words), "bold red"
    yield from _few(((one_line(item.words), "yellow") for item in _leftovers(record)), what="leftovers")


def _unmeasured(record: RunRecord) -> Iterator[_Styled]:
    """Metrics without a value, and bounds that broke and only report."""
    for row in model.measured(record):
        name = f"{one_line(row.metric.metric)} of {one_line(row.test.id)}"
        if row.is_reason:
            continue  # its failure says so
        if row.state in (model.BoundState.EXCUSED, model.BoundState.UNMEASURED):
            because = f" ({one_line(row.because)})" if row.because else ""
            yield f"unmeasured: {name}{because}", "yellow"
        elif row.state is model.BoundState.REPORTED_ONLY:
            bound = one_line(model.bound_words(row.metric))
            yield f"broken, reported only: {name} is {one_line(row.value)}, not {bound}", "yellow"


def _leftovers(record: RunRecord) -> Iterator[Leftover]:
    for test in record.tests:
        for attempt in test.attempts:
            yield from attempt.end.leftovers
    yield from record.leftovers


def _outside(record: RunRecord) -> Iterator[_Styled]:
    """What broke the run outside its tests, and what is wrong with the record."""
    yield from _few(((f"record: {one_line(each)}", "yellow") for each in record.problems), what="problems")
    for failure in record.failures:
        yield f"FAILED outside the tests  {failure.verdict}  {one_line(failure.what)}", "bold red"
        yield from _few(
            ((f"{_INDENT}- {one_line(strip_ansi(each))}", "") for each in failure.problems), what="problems"
        )
        for label, text in (("cause", failure.cause), ("next", failure.then)):
            if text:
                yield f"{_INDENT}{label}: {one_line(text)}", ""


def _result(record: RunRecord) -> Iterator[_Styled]:
    """Comparison, UNVERIFIED, counts with the time, and the result."""
    if words := model.baseline_words(record):
        yield one_line(words), "bold red" if record.regressions else "green"
    if words := unverified_words(record.start.unverified):
        yield words, "bold red"
    if words := never_run_words(record.start.never_run):
        yield words, "bold red"
    why = model.failed_by_verdict(record)
    counted = ", ".join(
        f"{count} {words}{why if words == Status.FAILED.plain else ''}"
        for words, count in model.counts(record).items()
    )
    yield f"{counted or 'no test'} in {duration(record.duration_s)}", "bold"
    ended = model.result(record)
    never = ", never a pass of the stage" if record.start.rehearsal else ""
    style = "bold green" if ended.ok else "bold red"
    yield f"{one_line(record.title)}{never}: {ended.words} (exit code {ended.code})", style
