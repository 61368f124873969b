"""What runs at this moment, how far it is, and how long the rest may take."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ci.record import events as ev
from ci.record.model import title_of
from ci.record.state import Key, RunState
from ci.record.values import AttemptOutcome
from ci.report.text import one_line, size, strip_ansi
from ci.report.workers import slot_words

__all__ = ["LiveRun", "Running", "RunningPhase", "phase_words", "progress_words"]

# of fewer tests the pace is a guess
_FEW = 2
# attempts whose time says how fast this machine is
_PACED = (AttemptOutcome.PASSED, AttemptOutcome.FAILED)


@dataclass(slots=True, kw_only=True)
class Running:
    """An attempt under way; `since_s` is the clock's reading at its start."""

    test: str
    attempt: int
    of: int
    est_s: float
    since_s: float
    where: str = ""
    worker: str = ""
    slot: int = 0
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


class LiveRun:
    """The state of a run, and what of it is under way by this machine's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take `clock`, seconds of which only differences mean something."""
        self._clock = clock
        self.state = RunState()
        self.began_s = clock()
        self.running: dict[Key, Running] = {}
        self._paces: list[float] = []
        self._at_once = 1
        self.phases: dict[tuple[str, str], RunningPhase] = {}

    def take(self, event: ev.Event) -> None:
        """Follow one event."""
        self.state.take(event)
        match event:
            case ev.RunStarted():
                self.began_s = self._clock()
            case ev.TestStarted():
                # counted through where another worker runs it again
                newest = self.state.newest((event.suite, event.test))
                self.running[event.suite, event.test] = Running(
                    test=event.test,
                    attempt=newest.number if newest is not None else event.number,
                    of=newest.start.of if newest is not None else event.of,
                    est_s=event.est_s or self.state.waiting_s().get((event.suite, event.test), 0.0),
                    since_s=self._clock(),
                    where=self.where(event),
                    worker=event.worker,
                    slot=event.slot,
                )
                self._at_once = max(self._at_once, len(self.running))
            case ev.Output() | ev.Progress() if (event.suite, event.test) in self.running:
                _show(self.running[event.suite, event.test], event)
            case ev.TestEnded():
                ended = self.running.pop((event.suite, event.test), None)
                if ended is not None and ended.est_s and event.outcome in _PACED:
                    self._paces.append(event.duration_s / ended.est_s)
            case ev.AgentEnded():
                self.running.clear()
            case ev.WorkerEnded() | ev.WorkerLost():
                left = {key: each for key, each in self.running.items() if each.worker != event.worker}
                self.running = left
            case ev.PhaseStarted():
                words = one_line(strip_ansi(event.text))
                self.phases[event.worker, event.phase] = RunningPhase(
                    phase=self.phase_name(event), text=words, since_s=self._clock()
                )
            case ev.PhaseProgress() if (event.worker, event.phase) in self.phases:
                phase = self.phases[event.worker, event.phase]
                phase.progress = phase_words(event)
                phase.done = event.done if event.done is not None else phase.done
                phase.total = event.total or phase.total
            case ev.PhaseEnded():
                self.phases.pop((event.worker, event.phase), None)
            case _:
                pass

    @property
    def by_node(self) -> list[Running]:
        """The attempts under way as they began, on several nodes by node and slot."""
        order = {worker.id: place for place, worker in enumerate(self.state.workers)}
        return sorted(
            self.running.values(),
            key=lambda each: (order.get(each.worker, 0), each.slot if each.worker else 0),
        )

    def where(self, event: ev.TestStarted) -> str:
        """The slot of an attempt, by its node where there are several."""
        return one_line(slot_words(event, self.state.worker(event.worker)))

    def phase_name(self, event: ev.PhaseStarted | ev.PhaseProgress | ev.PhaseEnded) -> str:
        """`pull`, `n2: pull` for a phase of a worker."""
        return one_line(": ".join(filter(None, (self.node(event), event.phase))))

    def node(self, event: ev.Event) -> str:
        """`n2`: the node of a worker's event; empty for an event of no worker."""
        return self.state.worker(event.worker).name

    @property
    def title(self) -> str:
        """The stage, with REHEARSAL before it when it is one."""
        run = self.state.run
        return one_line(title_of(run)) if run is not None else ""

    def elapsed_s(self) -> float:
        """Seconds since the run started."""
        return self._clock() - self.began_s

    def running_s(self, running: Running | RunningPhase) -> float:
        """Seconds since this attempt or phase started."""
        return self._clock() - running.since_s

    @property
    def pace(self) -> float:
        """Seconds here for a second of an estimate: the median of the tests that have ended, 1 before the first."""
        return median(self._paces) if self._paces else 1.0

    @property
    def is_paced(self) -> bool:
        """Whether enough tests have ended for the pace to be more than a guess."""
        return len(self._paces) >= _FEW

    def left_s(self) -> float:
        """Seconds until the end at this pace, for as many tests at a time as ran at once."""
        waiting_s = [est_s for key, est_s in self.state.waiting_s().items() if key not in self.running]
        running_s = [
            max(0.0, item.est_s * self.pace - self.running_s(item)) for item in self.running.values()
        ]
        shared_s = (sum(waiting_s) * self.pace + sum(running_s)) / self._at_once
        return max([shared_s, *running_s])


def _show(running: Running, event: ev.Output | ev.Progress) -> None:
    if isinstance(event, ev.Progress):
        running.progress = progress_words(event)
        return
    lines = [line for line in event.lines if line.strip()]
    if lines:
        running.newest_line = one_line(strip_ansi(lines[-1]).strip())


def progress_words(event: ev.Progress) -> str:
    """`gsm8k 5/16`."""
    words = one_line(strip_ansi(event.text))
    return f"{words} {event.done or 0:g}/{event.total:g}".strip() if event.total else words


def phase_words(event: ev.PhaseProgress) -> str:
    """`layers of rocm/sgl-dev: 3.2 GiB of 23.1 GiB (13 %), 110 MiB/s`."""
    words = one_line(strip_ansi(event.text))
    if event.done is None:
        return words
    in_bytes = event.unit == "bytes"
    counted = size(event.done) if in_bytes else f"{event.done:g}"
    if event.total:
        counted += f" of {size(event.total)}" if in_bytes else f" of {event.total:g}"
        counted += f" ({int(100 * min(event.done, event.total) / event.total)} %)"
    if event.rate:
        counted += f", {size(event.rate)}/s" if in_bytes else f", {event.rate:.3g}/s"
    return f"{words}: {counted}" if words else counted
