"""A run in lines: what a person who reads a log afterwards needs, one line per thing that matters."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status, Tone
from ci.record import events as ev
from ci.record.quarantine import Became, words
from ci.record.values import CaseOutcome, EndReason, Leftover, PhaseOutcome
from ci.report.live.progress import LiveRun, phase_words, progress_words
from ci.report.live.start import Line, start_lines
from ci.report.log_tail import LogTails
from ci.report.model import lost_words
from ci.report.text import case_name, clip, duration, one_line, quantity, strip_ansi, visible
from ci.report.workers import job_tone, job_words, lost_worker_words, started_words

__all__ = ["Line", "LogLines", "count_words", "place"]

_PHASE_WORDS: dict[PhaseOutcome, tuple[str, Tone]] = {
    PhaseOutcome.OK: ("done", "plain"),
    PhaseOutcome.WARNED: ("WARNING", "warn"),
    PhaseOutcome.SKIPPED: ("skipped", "dim"),
    PhaseOutcome.FAILED: ("FAILED", "bad"),
    PhaseOutcome.UNFINISHED: ("UNFINISHED", "bad"),
}
# of an attempt, with their details on a terminal; more of them have their message alone
_WHOLE_CASES = 3
_CASE_WORDS: Mapping[str, str] = {outcome.value: outcome.words for outcome in CaseOutcome}


def place(event: ev.Case) -> str:
    """`file:line` of a case, empty when it says no file."""
    file = one_line(event.file or "")
    return f"{file}:{event.line}" if file and event.line is not None else file


def count_words(counts: dict[Status, int]) -> str:
    """`12 passed, 1 failed`."""
    return ", ".join(f"{count} {status.plain}" for status, count in counts.items()) or "nothing yet"


class LogLines:
    """Turns events into lines; `live` must have taken the event before.

    With `tails` an attempt that failed without a failed case shows the last lines of its log. With `details` a failed case
    shows its lines of code and not its message alone.
    """

    def __init__(
        self,
        live: LiveRun,
        *,
        limits: ReportLimits,
        clock: Callable[[], float],
        tails: LogTails | None = None,
        details: bool = False,
    ) -> None:
        self._live = live
        self._limits = limits
        self._clock = clock
        self._tails = tails
        self._details = details
        # first lines of the messages of an attempt's failed cases: its evidence need not say them again
        self._said: dict[tuple[str, str], list[str]] = {}
        self._progress_shown_s: dict[tuple[str, str], float] = {}
        self._phase_shown_s: dict[tuple[str, str], float] = {}

    def lines(self, event: ev.Event) -> Iterator[Line]:
        """The lines of one event, often none."""
        match event:
            case ev.RunStarted():
                yield from start_lines(event)
            case ev.PhaseStarted():
                # progress that comes at once would only repeat it
                self._phase_shown_s[event.worker, event.phase] = self._clock()
                parts = (self._live.phase_name(event), one_line(strip_ansi(event.text)))
                yield Line(text=": ".join(part for part in parts if part))
            case ev.PhaseProgress():
                yield from self._phase_progress(event)
            case ev.PhaseEnded():
                yield from self._phase_ended(event)
            case ev.AgentStarted():
                host, python, system = map(one_line, (event.host, event.python, event.platform))
                who = "workers start from" if event.worker else "agent on"
                yield Line(text=f"{who} {host}, Python {python}, {system}", tone="dim")
            case ev.Job():
                yield Line(text=one_line(job_words(event)), tone=job_tone(event))
            case ev.WorkerStarted():
                yield Line(text=one_line(started_words(event)))
            case ev.WorkerLost():
                words = lost_worker_words(event, self._live.state.worker(event.worker))
                yield Line(text=one_line(words), tone="bad")
            case ev.WorkerEnded():
                if event.reason is not EndReason.DONE or event.text:
                    words = ": ".join(filter(None, (event.reason, event.text)))
                    yield Line(text=one_line(f"{self._live.node(event)} stopped: {words}"), tone="warn")
                yield from _leftovers(event.leftovers, indent="")
            case ev.Capsule():
                # whole and alone, or it cannot be copied: `inv repro` reads it
                yield Line(text=one_line(event.text), tone="dim")
            case ev.SuiteStarted():
                limit = duration(event.timeout_s)
                text = f"suite {one_line(event.suite)}: {len(event.tests)} tests, at most {limit}"
                yield Line(text=text, tone="title")
            case ev.TestStarted():
                self._said[event.suite, event.test] = []
                yield self._started(event)
            case ev.Case() if event.outcome is CaseOutcome.FAILED:
                yield from self._failed_case(event)
            case ev.Metric():
                yield _metric(event)
            case ev.Note():
                name = one_line(event.test)
                yield Line(text=f"note: {name + ': ' if name else ''}{one_line(strip_ansi(event.text))}")
            case ev.Progress():
                yield from self._progress(event)
            case ev.TestEnded():
                yield from self._ended(event)
            case ev.Retry():
                text = f"RETRY {one_line(event.test)} in {duration(event.wait_s)}: {one_line(event.because)}"
                yield Line(text=text, tone="warn")
            case ev.TestNotRun():
                text = f"NOT RUN {one_line(event.test)} ({event.verdict}): {one_line(event.because)}"
                yield Line(text=text, tone="warn")
            case ev.RoleStarted():
                yield Line(
                    text=f"role {one_line(event.role)} starts on node {event.node}, {one_line(event.host)}",
                    tone="dim",
                )
            case ev.RoleReady():
                yield Line(
                    text=f"role {one_line(event.role)} is ready after {duration(event.took_s)}", tone="dim"
                )
            case ev.RoleEnded():
                yield from _role_ended(event)
            case ev.SlotLost():
                words = lost_words(event, node=self._live.node(event))
                yield Line(text=one_line(words), tone="bad")
            case ev.AgentEnded():
                if event.reason is not EndReason.DONE:
                    yield Line(text=f"the agent stopped: {event.reason}", tone="warn")
                yield from _leftovers(event.leftovers, indent="")
            case ev.ExecutorFailed():
                yield from _executor_failed(event)
            case ev.RunEnded():
                counts = count_words(self._live.state.counts())
                text = f"{self._live.title} ended with exit code {event.exit_code}: {counts}"
                yield Line(text=text, tone="good" if event.exit_code == 0 else "bad")
            case _:
                pass

    def _started(self, event: ev.TestStarted) -> Line:
        state = self._live.state
        at = min(state.settled + len(self._live.running), state.total)
        estimate, limit = duration(event.est_s), duration(event.timeout_s)
        text = f"start {at}/{state.total} {one_line(event.test)} (estimate {estimate}, at most {limit}"
        if (newest := state.newest((event.suite, event.test))) is not None and newest.start.of > 1:
            text += f", attempt {newest.number} of {newest.start.of}"
        text += f", {where}" if (where := self._live.where(event)) else ""
        return Line(text=text + ")")

    def _phase_progress(self, event: ev.PhaseProgress) -> Iterator[Line]:
        now = self._clock()
        key = (event.worker, event.phase)
        if now - self._phase_shown_s.get(key, -math.inf) >= self._limits.progress_every_s:
            self._phase_shown_s[key] = now
            yield Line(text=f"... {self._live.phase_name(event)}: {phase_words(event)}", tone="dim")

    def _phase_ended(self, event: ev.PhaseEnded) -> Iterator[Line]:
        word, tone = _PHASE_WORDS[event.outcome]
        text = f"{word} {self._live.phase_name(event)} in {duration(event.duration_s)}"
        note = one_line(strip_ansi(event.text))
        yield Line(text=f"{text}: {note}" if note else text, tone=tone)
        details = clip("\n".join(map(strip_ansi, event.details)), self._limits.case_lines)
        for line in visible(details).split("\n"):
            if line.strip():
                yield Line(text=f"    {line}", tone=tone if tone == "bad" else "dim")
        if event.outcome is PhaseOutcome.FAILED and event.log:
            yield Line(text=f"    its log: {one_line(event.log)}", tone=tone)

    def _failed_case(self, event: ev.Case) -> Iterator[Line]:
        where = place(event)
        case = one_line(case_name(event.case, event.test))
        tone: Tone = "warn" if event.quarantine else "bad"
        word = "QUARANTINED" if event.quarantine else "FAILED"
        yield Line(text=f"{word} {where + ' ' if where else ''}{case}", tone=tone)
        # details that would be cut lose their end, where the message is
        whole = self._details and event.details.count("\n") < self._limits.case_lines
        words = (event.details, event.message) if whole else (event.message, event.details)
        text = visible(strip_ansi(next(filter(None, words), "")))
        said = self._said.setdefault((event.suite, event.test), [])
        said.append(_first_line(event.message))
        if self._details and len(said) > _WHOLE_CASES:
            text = one_line(said[-1])
        for line in clip(text, self._limits.case_lines).split("\n"):
            if line.strip():
                yield Line(text=f"    {line}", tone=tone)

    def _progress(self, event: ev.Progress) -> Iterator[Line]:
        key, now = (event.suite, event.test), self._clock()
        shown = self._progress_shown_s.get(key)
        if shown is None or now - shown >= self._limits.progress_every_s:
            self._progress_shown_s[key] = now
            yield Line(text=f"... {one_line(event.test)}: {progress_words(event)}", tone="dim")

    def _ended(self, event: ev.TestEnded) -> Iterator[Line]:
        state = self._live.state
        status = state.status((event.suite, event.test)) or Status.FAILED
        tone = status.row.tone
        text = f"{status.row.label} {one_line(event.test)} in {duration(event.duration_s)}"
        if event.cases:
            counts = ", ".join(
                f"{count} {_CASE_WORDS.get(outcome, one_line(outcome))}"
                for outcome, count in event.cases.items()
            )
            text += f" ({counts})"
        failed = status in (Status.FAILED, Status.QUARANTINED)
        if status is Status.FLAKY:
            text += f": {state.verdict((event.suite, event.test))} on an earlier attempt"
        yield Line(text=f"{text}: {event.verdict}" if failed else text, tone=tone)
        for lacking in event.unmeasured:
            # without an excuse the test failed, and its evidence says so
            if lacking.because:
                because = one_line(lacking.because)
                text = f"metric {one_line(event.test)} {one_line(lacking.metric)} is unmeasured ({because})"
                yield Line(text=text, tone="dim")
        said = self._said.pop((event.suite, event.test), [])
        if failed or status is Status.CANCELLED or status.row.set_aside:
            for line in event.evidence:
                if not any(words in line for words in said if words):
                    yield Line(text=f"    {one_line(strip_ansi(line))}", tone=tone)
        if failed and not said:
            yield from self._log_end((event.suite, event.test))
        for row, became in state.quarantined((event.suite, event.test)):
            text = one_line(f"QUARANTINED {row.test} {words(row, became)}")
            yield Line(text=f"    {text}", tone="warn" if became is Became.FAILED else "dim")
        for reason in event.skip_reasons:
            yield Line(text=f"    skipped: {one_line(reason)}", tone="dim")
        yield from _leftovers(event.leftovers, indent="    ")

    def _log_end(self, key: tuple[str, str]) -> Iterator[Line]:
        """The last lines of the newest attempt's log."""
        attempt = self._live.state.newest(key)
        if self._tails is None or attempt is None:
            return
        tail = self._tails.of(attempt)
        note = f" ({tail.note})" if tail.note else ""
        yield Line(text=f"    last lines of {one_line(attempt.start.log) or 'the log'}{note}:", tone="dim")
        yield from (Line(text=f"    | {visible(line)}", tone="dim") for line in tail.lines)


def _first_line(text: str) -> str:
    return strip_ansi(text).strip().partition("\n")[0].strip()


def _leftovers(leftovers: Iterable[Leftover], *, indent: str) -> Iterator[Line]:
    for leftover in leftovers:
        yield Line(text=indent + one_line(leftover.words), tone="warn")


def _metric(event: ev.Metric) -> Line:
    value = quantity(event.value, one_line(event.unit))
    text = f"metric {one_line(event.test)} {one_line(event.metric)} = {value}"
    bound = event.bound
    if bound is None:
        return Line(text=text, tone="dim")
    if not bound.op:
        return Line(text=f"{text} (report only)", tone="dim")
    limit = f"{one_line(bound.op)} {quantity(bound.limit)}"
    if bound.ok:
        return Line(text=f"{text} ({limit} holds)", tone="dim")
    only = ", reported only" if bound.report_only else ""
    return Line(text=f"{text} ({limit} is broken{only})", tone="warn" if bound.report_only else "bad")


def _role_ended(event: ev.RoleEnded) -> Iterator[Line]:
    """One that was told to end is silent."""
    role, because = one_line(event.role), one_line(strip_ansi(event.because))
    if event.failed:
        yield Line(text=f"ROLE FAILED {role} ({event.verdict}): {because}", tone="bad")
    elif because:
        yield Line(text=f"role {role}: {because}", tone="warn")


def _executor_failed(event: ev.ExecutorFailed) -> Iterator[Line]:
    yield Line(text=f"FAILED outside the tests: {one_line(event.what)}", tone="bad")
    for problem in event.problems:
        yield Line(text=f"    - {one_line(strip_ansi(problem))}", tone="bad")
    for label, text in (("cause", event.cause), ("next", event.then)):
        if text:
            yield Line(text=f"    {label}: {one_line(text)}", tone="bad")
