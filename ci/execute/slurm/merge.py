"""The events of all workers as one record, as one agent would have written it. Pure: lines go in, the record's events come out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ci.catalog.verdicts import Verdict
from ci.record import events as ev
from ci.record.moments import moment_s
from ci.record.state import Key
from ci.record.values import EndReason

__all__ = ["HEAD", "Merge"]

# who the head is among the workers
HEAD = "head"


class Merge:
    """Takes the events of head and workers in the order in which they are found.

    What a worker says of the run as a whole is left out or said once: a suite begins with the first of its tests and ends with the
    last one, and how the run ended is the head's to say. What comes of a worker after it was given up is left out.
    """

    def __init__(self, suites: Mapping[str, Sequence[str]]) -> None:
        """`suites` are the tests of the plan by suite, in their order."""
        self._unsettled: dict[str, set[str]] = {suite: set(tests) for suite, tests in suites.items()}
        self._order = [(suite, test) for suite, tests in suites.items() for test in tests]
        self._seq: dict[str, int] = {}
        self._begun: dict[str, float] = {}
        self._ended: set[str] = set()
        self._lost: set[str] = set()
        self._damaged: set[str] = set()
        self._started = False
        self._failed = False
        self._agent_ended: ev.AgentEnded | None = None
        self._last: dict[str, float] = {}

    @property
    def missing(self) -> tuple[Key, ...]:
        """The tests that are not settled."""
        return tuple(key for key in self._order if key[1] in self._unsettled[key[0]])

    @property
    def head_ended(self) -> bool:
        """Whether the head has said how the run ended, or why it failed."""
        return self._agent_ended is not None or self._failed

    @property
    def was_cancelled(self) -> bool:
        """Whether the head was asked to end before the work was done."""
        return self._agent_ended is not None and self._agent_ended.reason is EndReason.CANCELLED

    def resume(self, record: Iterable[ev.Event]) -> None:
        """Go on behind what a record holds already."""
        for event in record:
            if event.worker and event.seq is not None:
                self._seq[event.worker] = max(self._seq.get(event.worker, 0), event.seq)
            self._follow(event)
            if isinstance(event, ev.Damaged):
                self._damaged.add(event.text)
            if isinstance(event, ev.SuiteEnded):
                self._ended.add(event.suite)

    def take(self, worker: str, event: ev.Event) -> Iterator[ev.Event]:
        """What the record gets for an event of a worker, or of the head."""
        if event.seq is not None:
            if event.seq <= self._seq.get(worker, 0):
                return
            self._seq[worker] = event.seq
        if worker in self._lost:
            return
        if isinstance(event, ev.WorkerLost):
            # the head says it, of a worker, whose own numbers it leaves as they are
            event = replace(event, seq=None)
        else:
            event = replace(event, worker=worker)
        match event:
            case ev.WorkerLost() if event.worker in self._lost:
                return
            case ev.ExecutorFailed() if worker != HEAD:
                # the head says what it means for the run
                words = ": ".join(filter(None, (event.what, event.cause)))
                event = ev.Note(
                    worker=worker, seq=event.seq, time=event.time, text=f"worker {worker} failed: {words}"
                )
            case ev.SuiteStarted() if event.suite in self._begun:
                return
            case ev.Damaged() if event.text in self._damaged:
                # it has no number, and the record has it already
                return
            case ev.AgentStarted() if self._started:
                # of a job that was put back into the queue
                self._failed, self._agent_ended = False, None
                return
            case ev.AgentEnded():
                self._agent_ended = event
                return
        self._follow(event)
        yield event
        if not isinstance(event, ev.TestEnded):
            # behind the end of a test its retry may follow
            yield from self._suites_ended()

    def finish(
        self, failure: ev.ExecutorFailed | None = None, *, verdict: Verdict = Verdict.INFRA, because: str = ""
    ) -> Iterator[ev.Event]:
        """The end of the record: how the run ended if the head has said it, else what failed, and what it means for the tests."""
        if failure is not None:
            yield failure
            for suite, test in self.missing:
                not_run = ev.TestNotRun(suite=suite, test=test, verdict=verdict, because=because)
                self._follow(not_run)
                yield not_run
        yield from self._suites_ended()
        if self._agent_ended is not None and failure is None:
            yield self._agent_ended

    def _follow(self, event: ev.Event) -> None:
        moment = moment_s(event.time)
        match event:
            case ev.AgentStarted():
                self._started = True
            case ev.ExecutorFailed():
                self._failed = True
            case ev.WorkerLost():
                self._lost.add(event.worker)
            case ev.SuiteStarted():
                self._begun.setdefault(event.suite, moment or 0.0)
            case ev.TestEnded() | ev.TestNotRun():
                self._unsettled.get(event.suite, set()).discard(event.test)
                self._last[event.suite] = max(self._last.get(event.suite, 0.0), moment or 0.0)
            case ev.Note() if event.settles:
                self._unsettled.get(event.suite, set()).discard(event.test)
            case ev.Retry():
                self._unsettled.get(event.suite, set()).add(event.test)
            case _:
                pass

    def _suites_ended(self) -> Iterator[ev.Event]:
        for suite, began_s in self._begun.items():
            if suite not in self._ended and not self._unsettled.get(suite):
                self._ended.add(suite)
                took_s = round(max(0.0, self._last.get(suite, 0.0) - began_s), 3)
                yield ev.SuiteEnded(suite=suite, duration_s=took_s)
