"""Who has which test and what becomes of it: the head's book. Pure, so that every order of deaths can be tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        self._again: set[int] = set()
        # why the run failed, by place; of a test that is retried, beside its worker, until its next end
        self._failed: dict[int, str] = {}
        self._retried: dict[int, tuple[str, str]] = {}
        self.ended: dict[str, ev.WorkerEnded] = {}
        self.failures: dict[str, ev.ExecutorFailed] = {}

    @property
    def failed_by(self) -> str:
        """The first failure that no retry has taken back, in words; empty where there is none."""
        return next(iter(self._failed.values()), "")

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
                # an attempt that was announced and given up: the one before it decides
                for retried in [place for place, (who, _) in self._retried.items() if who == worker]:
                    self._settle_on_earlier(retried)
            case ev.ExecutorFailed():
                self.failures.setdefault(worker, event)
            case ev.TestEnded() | ev.TestNotRun() | ev.Retry() | ev.Note():
                place = self._place.get((event.suite, event.test))
                if place is not None:
                    self._take_of_test(worker, place, event)
            case _:
                pass

    def has_open(self, claims: Iterable[Claim]) -> bool:
        """Whether one of these claims is of a test that is not settled and not given out again."""
        return any(
            claim.place not in self._settled and (claim.tried >= _TRIES or claim.place not in self._again)
            for claim in claims
        )

    def lose(self, worker: str, claims: Iterable[Claim]) -> Loss:
        """A worker has ended without its last word, having these claims; said again when more of them are found."""
        self._lost.add(worker)
        found = sorted({(claim.place, claim.tried) for claim in claims if claim.place not in self._settled})
        again = tuple(place for place, tried in found if tried < _TRIES and place not in self._again)
        given_up = tuple(place for place, tried in found if tried >= _TRIES)
        self._again.update(again)
        self._settled.update(given_up)
        return Loss(again=again, given_up=given_up)

    def _take_of_test(
        self, worker: str, place: int, event: ev.TestEnded | ev.TestNotRun | ev.Retry | ev.Note
    ) -> None:
        match event:
            case ev.TestEnded() | ev.TestNotRun():
                self._settled.add(place)
                self._retried.pop(place, None)
                if isinstance(event, ev.TestEnded) and event.gates and not event.outcome.harmless:
                    words = f"{event.test} of suite {event.suite} failed ({event.verdict})"
                    self._failed.setdefault(place, words)
            case ev.Retry():
                self._settled.discard(place)
                self._retried[place] = (worker, self._failed.pop(place, ""))
            case ev.Note() if event.settles:
                self._settle_on_earlier(place)
            case _:
                pass

    def _settle_on_earlier(self, place: int) -> None:
        """No further attempt comes: the one before it decides."""
        self._settled.add(place)
        _, words = self._retried.pop(place, ("", ""))
        if words:
            self._failed[place] = words
