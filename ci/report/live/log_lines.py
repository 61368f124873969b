"""A run told in lines: what a person who reads a log afterwards needs, one line per thing that matters."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status, Tone
from ci.record import quarantine
from ci.record.fold import Event, number, quarantine_rows, text, texts
from ci.report.live.progress import Tally, phase_words, progress_words
from ci.report.repeat import repeat_run
from ci.report.text import case_name, clip, duration, one_line, quantity, strip_ansi, visible

__all__ = ["Line", "Narrator", "count_words", "place"]

# How the end of a phase is told; an outcome that is none of these is shown as a failure.
_PHASE_WORDS: dict[str, tuple[str, Tone]] = {
    "ok": ("done", "plain"),
    "warned": ("WARNING", "warn"),
    "skipped": ("skipped", "dim"),
    "failed": ("FAILED", "bad"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line without a line break; `tone` is how it is coloured where there are colours."""

    text: str
    tone: Tone = "plain"


def place(event: Event) -> str:
    """`file:line` of a `case` event, empty when the case says no file."""
    file, line = one_line(text(event, "file")), event.get("line")
    return f"{file}:{line}" if file and isinstance(line, int) else file


def count_words(counts: dict[Status, int]) -> str:
    """`12 passed, 1 failed`."""
    return ", ".join(f"{count} {status.plain}" for status, count in counts.items()) or "nothing yet"


class Narrator:
    """Turns events into lines; `tally` must have taken the event before."""

    def __init__(self, tally: Tally, *, limits: ReportLimits, clock: Callable[[], float]) -> None:
        self._tally = tally
        self._limits = limits
        self._clock = clock
        self._progress_told_s: dict[tuple[str, str], float] = {}
        self._phase_told_s: dict[str, float] = {}

    def lines(self, event: Event) -> Iterator[Line]:
        """The lines of one event, often none."""
        name = one_line(text(event, "test"))
        match event.get("type"):
            case "run-started":
                yield from self._banner(event)
            case "phase-started":
                # progress that comes at once would only repeat it
                self._phase_told_s[text(event, "phase")] = self._clock()
                words = one_line(strip_ansi(text(event, "text")))
                yield Line(text=": ".join(part for part in (one_line(text(event, "phase")), words) if part))
            case "phase-progress":
                yield from self._phase_progress(event)
            case "phase-ended":
                yield from self._phase_ended(event)
            case "agent-started":
                host, python = one_line(text(event, "host")), one_line(text(event, "python"))
                yield Line(
                    text=f"agent on {host}, Python {python}, {one_line(text(event, 'platform'))}", tone="dim"
                )
            case "capsule":
                # whole and alone, or it can't be copied: `./inv repro` reads it
                yield Line(text=one_line(text(event, "text")), tone="dim")
            case "suite-started":
                tests = len(texts(event, "tests"))
                limit = duration(number(event, "timeout_s"))
                yield Line(
                    text=f"suite {one_line(text(event, 'suite'))}: {tests} tests, at most {limit}",
                    tone="title",
                )
            case "test-started":
                yield self._started(event, name)
            case "case" if event.get("outcome") == "failed":
                yield from self._failed_case(event)
            case "metric":
                yield _metric(event, name)
            case "note":
                yield Line(
                    text=f"note: {name + ': ' if name else ''}{one_line(strip_ansi(text(event, 'text')))}"
                )
            case "progress":
                yield from self._progress(event, name)
            case "test-ended":
                yield from self._ended(event, name)
            case "retry":
                wait = duration(number(event, "wait_s"))
                because = one_line(text(event, "because"))
                yield Line(text=f"RETRY {name} in {wait}: {because}", tone="warn")
            case "test-not-run":
                verdict, because = one_line(text(event, "verdict")), one_line(text(event, "because"))
                yield Line(text=f"NOT RUN {name} ({verdict}): {because}", tone="warn")
            case "agent-ended":
                yield from self._agent_ended(event)
            case "executor-failed":
                yield from _executor_failed(event)
            case "run-ended":
                code = event.get("exit_code")
                counts = count_words(self._tally.counts())
                words = f"{self._tally.title} ended with exit code {code}: {counts}"
                yield Line(text=words, tone="good" if code == 0 else "bad")
            case _:
                pass

    def _banner(self, event: Event) -> Iterator[Line]:
        yield Line(text=f"{self._tally.title}: {self._tally.total} tests", tone="title")
        if event.get("rehearsal") is True:
            because = one_line(text(event, "rehearsal_because"))
            yield Line(text=f"REHEARSAL: {because}. This never counts as a pass of the stage.", tone="warn")
        facts = {
            "hardware": "hardware_class",
            "engine": "engine",
            "executor": "executor",
            "commit": "commit",
            "plan": "plan_digest",
        }
        known = [f"{label} {one_line(text(event, key))}" for label, key in facts.items() if event.get(key)]
        yield Line(text=", ".join(known))
        run = text(event, "run")
        command = repeat_run(text(event, "command"), session=text(event, "session"), run=run)
        yield Line(text=f"run folder {one_line(run)}; repeat: {one_line(command)}")
        for row in event.get("skipped_suites") or ():
            yield Line(
                text=f"left out: suite {one_line(text(row, 'suite'))}: {one_line(text(row, 'because'))}",
                tone="dim",
            )
        for row in event.get("empty_shards") or ():
            suite, shard = one_line(text(row, "suite")), one_line(text(row, "shard"))
            yield Line(text=f"shard {shard} of suite {suite} holds no test", tone="dim")
        for row in event.get("disabled") or ():
            test, because = one_line(text(row, "test")), one_line(text(row, "because"))
            yield Line(text=f"disabled: {test}: {because}", tone="dim")
        for held in quarantine_rows(event):
            words = f"in quarantine until {held.expires}, gates nothing: {held.test}: {held.reason} ({held.issue})"
            yield Line(text=one_line(words), tone="warn")

    def _started(self, event: Event, name: str) -> Line:
        attempt, of = int(number(event, "attempt", 1)), int(number(event, "of", 1))
        at = min(self._tally.ended + len(self._tally.running), self._tally.total)
        estimate, limit = duration(number(event, "est_s")), duration(number(event, "timeout_s"))
        gpus = ",".join(texts(event, "gpu_ids"))
        words = f"start {at}/{self._tally.total} {name} (estimate {estimate}, at most {limit}"
        words += f", attempt {attempt} of {of}" if of > 1 else ""
        words += f", GPU {one_line(gpus)}" if gpus else ""
        return Line(text=words + ")")

    def _phase_progress(self, event: Event) -> Iterator[Line]:
        phase, now = text(event, "phase"), self._clock()
        if now - self._phase_told_s.get(phase, -math.inf) >= self._limits.progress_every_s:
            self._phase_told_s[phase] = now
            yield Line(text=f"... {one_line(phase)}: {phase_words(event)}", tone="dim")

    def _phase_ended(self, event: Event) -> Iterator[Line]:
        outcome = one_line(text(event, "outcome"))
        word, tone = _PHASE_WORDS.get(outcome, (f"FAILED ({outcome})", "bad"))
        words = f"{word} {one_line(text(event, 'phase'))} in {duration(number(event, 'duration_s'))}"
        said = one_line(strip_ansi(text(event, "text")))
        yield Line(text=f"{words}: {said}" if said else words, tone=tone)
        details = clip(
            "\n".join(strip_ansi(line) for line in texts(event, "details")), self._limits.case_lines
        )
        for line in visible(details).split("\n"):
            if line.strip():
                yield Line(text=f"    {line}", tone=tone if tone == "bad" else "dim")
        if outcome == "failed" and (log := text(event, "log")):
            yield Line(text=f"    its log: {one_line(log)}", tone=tone)

    def _failed_case(self, event: Event) -> Iterator[Line]:
        where = place(event)
        case = one_line(case_name(text(event, "case"), text(event, "test")))
        held = self._tally.quarantined(text(event, "test"), text(event, "case"))
        tone: Tone = "warn" if held else "bad"
        word = "QUARANTINED" if held else "FAILED"
        yield Line(text=f"{word} {where + ' ' if where else ''}{case}", tone=tone)
        words = text(event, "message") or text(event, "details")
        for line in clip(visible(strip_ansi(words)), self._limits.case_lines).split("\n"):
            if line.strip():
                yield Line(text=f"    {line}", tone=tone)

    def _progress(self, event: Event, name: str) -> Iterator[Line]:
        key, now = (text(event, "suite"), text(event, "test")), self._clock()
        told = self._progress_told_s.get(key)
        if told is None or now - told >= self._limits.progress_every_s:
            self._progress_told_s[key] = now
            yield Line(text=f"... {name}: {progress_words(event)}", tone="dim")

    def _ended(self, event: Event, name: str) -> Iterator[Line]:
        status = self._tally.status(text(event, "suite"), text(event, "test")) or Status.FAILED
        tone = status.row.tone
        words = f"{status.row.label} {name} in {duration(number(event, 'duration_s'))}"
        cases = event.get("cases")
        if isinstance(cases, dict) and cases:
            words += (
                " ("
                + ", ".join(f"{count} {one_line(str(outcome))}" for outcome, count in cases.items())
                + ")"
            )
        failed = status in (Status.FAILED, Status.QUARANTINED)
        yield Line(text=f"{words}: {one_line(text(event, 'verdict'))}" if failed else words, tone=tone)
        if failed:
            for line in texts(event, "evidence"):
                yield Line(text=f"    {one_line(strip_ansi(line))}", tone=tone)
        suite, test, outcome = (text(event, key) for key in ("suite", "test", "outcome"))
        for row, became in self._tally.quarantine_states(suite, test, outcome):
            words = f"QUARANTINED {row.test} {quarantine.words(row, became)}"
            yield Line(text=f"    {one_line(words)}", tone="warn" if became == "failed" else "dim")
        for reason in texts(event, "skip_reasons"):
            yield Line(text=f"    skipped: {one_line(reason)}", tone="dim")
        for leftover in event.get("leftovers") or ():
            pid, command = int(number(leftover, "pid")), one_line(text(leftover, "command"))
            yield Line(text=f"    left over and killed: process {pid}, {command}", tone="warn")

    def _agent_ended(self, event: Event) -> Iterator[Line]:
        reason = one_line(text(event, "reason"))
        if reason != "done":
            yield Line(text=f"the agent stopped: {reason}", tone="warn")
        for leftover in event.get("leftovers") or ():
            pid, command = int(number(leftover, "pid")), one_line(text(leftover, "command"))
            yield Line(text=f"left over and killed: process {pid}, {command}", tone="warn")


def _metric(event: Event, name: str) -> Line:
    value = quantity(number(event, "value"), one_line(text(event, "unit")))
    words = f"metric {name} {one_line(text(event, 'metric'))} = {value}"
    bound = event.get("bound")
    if not isinstance(bound, dict):
        return Line(text=words, tone="dim")
    if not text(bound, "op"):
        return Line(text=f"{words} (report only)", tone="dim")
    limit = f"{one_line(text(bound, 'op'))} {quantity(number(bound, 'limit'))}"
    if bound.get("ok") is True:
        return Line(text=f"{words} ({limit} holds)", tone="dim")
    only = bound.get("report_only") is True
    return Line(
        text=f"{words} ({limit} is broken{', reported only' if only else ''})", tone="warn" if only else "bad"
    )


def _executor_failed(event: Event) -> Iterator[Line]:
    yield Line(text=f"FAILED outside the tests: {one_line(text(event, 'what'))}", tone="bad")
    for problem in texts(event, "problems"):
        yield Line(text=f"    - {one_line(strip_ansi(problem))}", tone="bad")
    for label in ("cause", "then"):
        if words := text(event, label):
            yield Line(text=f"    {'next' if label == 'then' else label}: {one_line(words)}", tone="bad")
