"""When the requests of a bench are due."""

from __future__ import annotations

import random

from harness.errors import MeasurementError

__all__ = ["all_at_once", "poisson", "schedule"]


def all_at_once(count: int) -> list[float]:
    """Every request is due at the start."""
    return [0.0] * count


def poisson(count: int, *, rate: float, seed: int) -> list[float]:
    """Due times in seconds of an open loop: `rate` requests a second on average, independent of one another.

    The first is due at once, the gaps are exponential; the same seed gives the same times.
    """
    if not rate > 0:
        raise MeasurementError(f"a request rate of {rate} a second never sends anything")
    choose = random.Random(seed)
    due_s: list[float] = []
    now_s = 0.0
    for _ in range(count):
        due_s.append(now_s)
        now_s += choose.expovariate(rate)
    return due_s


def schedule(count: int, *, rate: float | None, seed: int) -> list[float]:
    """`poisson` with a rate, `all_at_once` without."""
    return all_at_once(count) if rate is None else poisson(count, rate=rate, seed=seed)
