"""The one door to pseudo-random numbers: seeded, so that the same scenario always has the same result."""

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate

from ci.plan.fleet.model import Durations

__all__ = ["Draws", "arrival_times"]

_DAY_S = 86400.0


class Draws:
    """A stream of its own for each event, so that two scenarios meet the same events with the same luck."""

    def __init__(self, seed: int, stream: int) -> None:
        """Start the stream of this number."""
        self._random = random.Random(seed * 1_000_003 + stream)  # noqa: S311 - a simulation

    def share(self) -> float:
        """A number from 0 up to 1."""
        return self._random.random()

    def spread(self, median: float, sigma: float) -> float:
        """Lognormal about its median."""
        return median * self._random.lognormvariate(0.0, sigma) if sigma and median else median

    def duration(self, work_s: float, kind: Durations, sigma: float) -> float:
        """The seconds of a job's tests."""
        if kind is Durations.EXPONENTIAL:
            return self._random.expovariate(1 / work_s)
        return self.spread(work_s, sigma) if kind is Durations.LOGNORMAL else work_s

    def pick(self, weights: Sequence[float]) -> int:
        """A position, as often as its weight says."""
        sums = list(accumulate(weights))
        return min(bisect(sums, self._random.random() * sums[-1]), len(sums) - 1)


def arrival_times(
    seed: int, stream: int, per_day: float, by_hour: Sequence[float], days: float
) -> Iterator[float]:
    """A Poisson process whose rate follows the hours of the day."""
    numbers = random.Random(seed * 1_000_003 - 1 - stream)  # noqa: S311 - a simulation
    total = sum(by_hour)
    hour_s = _DAY_S / len(by_hour)
    starts = [0.0, *accumulate(weight / total for weight in by_hour)]
    passed = 0.0
    while True:
        # in units of a day's arrivals, then back to the time at which so many are expected
        passed += numbers.expovariate(per_day)
        day, within = divmod(passed, 1.0)
        hour = min(bisect(starts, within) - 1, len(by_hour) - 1)
        weight = by_hour[hour] / total
        at = day * _DAY_S + hour * hour_s + (hour_s * (within - starts[hour]) / weight if weight else 0.0)
        if at >= days * _DAY_S:
            return
        yield at
