"""Where a run stands while its events come in: what runs, how much is done, how long the rest may take."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ci.catalog.verdicts import Status, Verdict
from ci.record.fold import Event, number, quarantine_rows, text, texts
from ci.record.quarantine import QuarantineRecord, covers, gates, rows_of, state
from ci.report.text import one_line, size, strip_ansi

__all__ = ["Running", "RunningPhase", "Tally", "phase_words", "progress_words"]

Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Running:
    """An attempt under way; `since_s` is the clock's reading at its start."""

    suite: str
    test: str
    attempt: int
    of: int
    est_s: float
    since_s: float
    log: str = ""
    newest_line: str = ""
    progress: str = ""


@dataclass(slots=True, kw_only=True)
class RunningPhase:
    """A phase of the executor under way; `done` of `total` (None: unknown) as its newest event has them."""

    phase: str
    text: str
    since_s: float
    progress: str = ""
    done: float = 0.0
    total: float | None = None


class Tally:
    """Counts by final status so far; a test that is to be tried again is not counted as failed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take `clock`, seconds of which only differences mean something."""
        self._clock = clock
        self.run: Event = {}
        self.began_s = clock()
        self.running: dict[Key, Running] = {}
        self.phases: dict[str, RunningPhase] = {}
        self._status: dict[Key, Status | None] = {}
        self._est_s: dict[Key, float] = {}
        self._failed_before: set[Key] = set()
        self._logs: dict[Key, str] = {}
        self._quarantine: tuple[QuarantineRecord, ...] = ()
        self._cases: dict[Key, dict[str, str]] = {}

    def take(self, event: Event) -> None:
        """Follow one event."""
        key = text(event, "suite"), text(event, "test")
        match event.get("type"):
            case "run-started":
                self.run = event
                self.began_s = self._clock()
                self._quarantine = quarantine_rows(event)
                for test in event.get("tests") or ():
                    planned = text(test, "suite"), text(test, "test")
                    self._status[planned] = None
                    self._est_s[planned] = number(test, "est_s")
            case "phase-started" | "phase-progress" | "phase-ended":
                self._phase(event)
            case "test-started":
                self._status[key] = None
                self._cases[key] = {}
                self._est_s.setdefault(key, number(event, "est_s"))
                self._logs[key] = text(event, "log")
                self.running[key] = Running(
                    suite=key[0],
                    test=key[1],
                    attempt=int(number(event, "attempt", 1)),
                    of=int(number(event, "of", 1)),
                    est_s=number(event, "est_s") or self._est_s[key],
                    since_s=self._clock(),
                    log=text(event, "log"),
                )
            case "case":
                self._cases.setdefault(key, {})[text(event, "case")] = text(event, "outcome")
            case "output" if key in self.running:
                lines = [line for line in texts(event, "lines") if line.strip()]
                if lines:
                    self.running[key].newest_line = one_line(strip_ansi(lines[-1]).strip())
            case "progress" if key in self.running:
                self.running[key].progress = progress_words(event)
            case "test-ended":
                self.running.pop(key, None)
                self._status[key] = self._ended(key, event)
            case "retry":
                self._failed_before.add(key)
                self._status[key] = None
            case "test-not-run":
                self._status[key] = Status.NOT_RUN
            case "agent-ended":
                self.running.clear()
                # an attempt that was announced and never came: the failure before it stands
                for waiting in self._failed_before:
                    self._status[waiting] = self._status[waiting] or Status.FAILED
            case _:
                pass

    def _phase(self, event: Event) -> None:
        name = text(event, "phase")
        match event.get("type"):
            case "phase-started":
                words = one_line(strip_ansi(text(event, "text")))
                self.phases[name] = RunningPhase(phase=name, text=words, since_s=self._clock())
            case "phase-progress" if name in self.phases:
                phase = self.phases[name]
                phase.progress = phase_words(event)
                phase.done = number(event, "done", phase.done)
                phase.total = number(event, "total") or phase.total
            case "phase-ended":
                self.phases.pop(name, None)
            case _:
                pass

    def _ended(self, key: Key, event: Event) -> Status:
        outcome = text(event, "outcome")
        if outcome == "passed":
            return Status.FLAKY if key in self._failed_before else Status.PASSED
        if outcome == "skipped" and key not in self._failed_before:
            return Status.SKIPPED
        code = event.get("exit_code")
        failed = [node for node, result in self._cases.get(key, {}).items() if result == "failed"]
        gating = outcome != "failed" or gates(
            self.quarantine(key[1]),
            failed,
            verdict=Verdict.of_name(text(event, "verdict")),
            exit_code=code if isinstance(code, int) else None,
        )
        return Status.FAILED if gating else Status.QUARANTINED

    def quarantine(self, test: str) -> tuple[QuarantineRecord, ...]:
        """The quarantine rows about this test file."""
        return rows_of(test, self._quarantine)

    def quarantined(self, test: str, node: str) -> bool:
        """Whether a row covers this case."""
        return any(covers(row.test, node) for row in self.quarantine(test))

    def quarantine_states(self, suite: str, test: str, outcome: str) -> list[tuple[QuarantineRecord, str]]:
        """Each row about this test with what became of it in the newest attempt, which ended so."""
        cases = self._cases.get((suite, test), {})
        return [(row, state(row, cases, outcome)) for row in self.quarantine(test)]

    @property
    def title(self) -> str:
        """The stage, with REHEARSAL before it when it is one."""
        stage = one_line(text(self.run, "stage"))
        return f"REHEARSAL of {stage}" if self.run.get("rehearsal") is True else stage

    @property
    def total(self) -> int:
        """Tests in this run."""
        return len(self._status)

    @property
    def ended(self) -> int:
        """Tests that have their final status."""
        return sum(status is not None for status in self._status.values())

    def status(self, suite: str, test: str) -> Status | None:
        """What a test ended with; None while it waits, runs or is to be tried again."""
        return self._status.get((suite, test))

    def log(self, suite: str, test: str) -> str:
        """The log of a test's newest attempt, relative to the run folder."""
        return self._logs.get((suite, test), "")

    def counts(self) -> dict[Status, int]:
        """Tests by final status, in the order of `Status`, those with none left out."""
        found = Counter(status for status in self._status.values() if status is not None)
        return {status: found[status] for status in Status if found[status]}

    def elapsed_s(self) -> float:
        """Seconds since the run started."""
        return self._clock() - self.began_s

    def running_s(self, running: Running | RunningPhase) -> float:
        """Seconds since this attempt or phase started."""
        return self._clock() - running.since_s

    def left_s(self) -> float:
        """Seconds until the end by the estimates of what waits and runs, for as many at a time as run now."""
        waiting_s = sum(
            self._est_s.get(key, 0.0)
            for key, status in self._status.items()
            if status is None and key not in self.running
        )
        running_s = sum(max(0.0, item.est_s - self.running_s(item)) for item in self.running.values())
        return (waiting_s + running_s) / max(1, len(self.running))


def progress_words(event: Event) -> str:
    """`gsm8k 5/16` of a `progress` event."""
    words = one_line(strip_ansi(text(event, "text")))
    total = number(event, "total")
    return f"{words} {number(event, 'done'):g}/{total:g}".strip() if total else words


def phase_words(event: Event) -> str:
    """`layers of rocm/sgl-dev: 3.2 GiB of 23.1 GiB (13 %), 110 MiB/s` of a `phase-progress` event."""
    words = one_line(strip_ansi(text(event, "text")))
    if event.get("done") is None:
        return words
    done, total, rate = number(event, "done"), number(event, "total"), number(event, "rate")
    in_bytes = text(event, "unit") == "bytes"
    counted = size(done) if in_bytes else f"{done:g}"
    if total:
        counted += f" of {size(total)}" if in_bytes else f" of {total:g}"
        counted += f" ({int(100 * min(done, total) / total)} %)"
    if rate:
        counted += f", {size(rate)}/s" if in_bytes else f", {rate:.3g}/s"
    return f"{words}: {counted}" if words else counted
