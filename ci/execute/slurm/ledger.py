"""Who has which test and what becomes of it: the head's book. Pure, so that every order of deaths can be tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ci.execute.slurm.merge import was_cancelled
from ci.record import events as ev
from ci.record.state import Key

__all__ = ["Claim", "Ledger", "Loss"]

# a test whose worker died is given out once more
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker has taken the test at this place of the order, the first time or the second."""

    place: int
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a lost worker leaves: places that are given out again, and those whose second worker it was."""

    again: tuple[int, ...]
    given_up: tuple[int, ...]


class Ledger:
    """Takes events of workers in each one's order, and their ends."""

    def __init__(self, tests: Sequence[Key]) -> None:
        """`tests` in the plan's order, in which claims count them from 0."""
        self.tests = tuple(tests)
        self._place = {key: place for place, key in enumerate(self.tests)}
        self._settled: set[int] = set()
        self._lost: set[str] = set()
        self._cancelled: set[int] = set()
        self.ended: dict[str, ev.WorkerEnded] = {}
        self.failures: dict[str, ev.ExecutorFailed] = {}
        self.failed_by = ""

    @property
    def settled(self) -> frozenset[int]:
        """The places of the tests of which nothing more comes, unless a retry follows at once."""
        return frozenset(self._settled)

    @property
    def unsettled(self) -> tuple[Key, ...]:
        """The tests that are not settled, in their order."""
        return tuple(key for place, key in enumerate(self.tests) if place not in self._settled)

    def take(self, worker: str, event: ev.Event) -> None:
        """Follow an event of a worker; what comes of it after it was lost counts no more."""
        if worker in self._lost:
            return
        match event:
            case ev.WorkerEnded():
                self.ended[worker] = event
            case ev.ExecutorFailed():
                self.failures.setdefault(worker, event)
            case ev.TestNotRun():
                self._settle(event)
            case ev.TestEnded():
                self._settle(event)
                if event.gates and not event.outcome.harmless and not self.failed_by:
                    self.failed_by = f"{event.test} of suite {event.suite} failed ({event.verdict})"
            case ev.Retry():
                self._settled.discard(self._place.get((event.suite, event.test), -1))
            case _:
                pass

    def lose(self, worker: str, claims: Iterable[Claim]) -> Loss:
        """A worker has ended without its last word, having these claims."""
        self._lost.add(worker)
        open_claims = sorted(
            (claim for claim in claims if claim.place not in self._settled), key=lambda claim: claim.place
        )
        given_up = tuple(claim.place for claim in open_claims if claim.tried >= _TRIES)
        self._settled.update(given_up)
        return Loss(
            again=tuple(claim.place for claim in open_claims if claim.tried < _TRIES), given_up=given_up
        )

    def reopen(self, claims: Iterable[Claim]) -> tuple[int, ...]:
        """Of an earlier start of the job: what was stopped in it may be claimed a second time, which these places are."""
        again = sorted({claim.place for claim in claims if claim.tried < _TRIES} & self._cancelled)
        self._settled.difference_update(again)
        self._cancelled.difference_update(again)
        return tuple(again)

    def _settle(self, event: ev.TestEnded | ev.TestNotRun) -> None:
        place = self._place.get((event.suite, event.test))
        if place is not None:
            self._settled.add(place)
            if was_cancelled(event):
                self._cancelled.add(place)
            else:
                self._cancelled.discard(place)
