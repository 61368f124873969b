"""Dividing sizes among shards: longest first, MULTIFIT, and exact; the same sizes always give the same shards.

Sizes come longest first. A result names the shard of each size, by its position.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["EXACT_ITEMS", "Partition", "even", "exact", "longest_first", "lower_bound", "multifit"]

# Larger suites are not tried exactly: MULTIFIT is within 0.1 % of the lower bound there.
EXACT_ITEMS: Final = 40
# Steps of the exact search, about half a second: counted instead of timed, so that a slow machine finds the same shards.
_STEPS: Final = 30_000
# Halvings of the capacity that MULTIFIT searches; 7 are within 1.222 of the optimum, these within a millisecond.
_HALVINGS: Final = 30
# Sums of decimals in another order differ by less.
_NEAR: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """`shards[i]` is the shard of the size at position i, counted from 0. `proven`: no other has a shorter longest shard."""

    shards: tuple[int, ...]
    makespan: float
    proven: bool


def lower_bound(sizes: Sequence[float], count: int) -> float:
    """What no division can beat: the longest, the even share, or the shard that must hold k + 1 of the first k * count + 1."""
    if not sizes:
        return 0.0
    crowded = (
        math.fsum(sizes[k * count - k : k * count + 1]) for k in range(1, (len(sizes) - 1) // count + 1)
    )
    total = math.fsum(sizes)
    even_share = total / count
    if all(float(size).is_integer() for size in sizes):
        even_share = float(-(-int(total) // count))
    return max(sizes[0], even_share, *crowded)


def longest_first(sizes: Sequence[float], count: int) -> Partition:
    """Each size to the lightest shard so far, the first of equals: SGLang's rule."""
    loads = [0.0] * count
    shards = []
    for size in sizes:
        lightest = loads.index(min(loads))
        shards.append(lightest)
        loads[lightest] += size
    return _result(shards, sizes, count)


def multifit(sizes: Sequence[float], count: int) -> Partition:
    """The least capacity for which first-fit needs no more than `count` shards, by halving; never worse than longest first."""
    best = longest_first(sizes, count)
    low, high = lower_bound(sizes, count), best.makespan
    for _ in range(_HALVINGS):
        if best.proven or high - low <= _NEAR * high:
            break
        middle = (low + high) / 2
        found = _first_fit(sizes, count, middle)
        if found is None:
            low = middle
            continue
        fitted = _result(found, sizes, count)
        best = fitted if fitted.makespan < best.makespan else best
        high = middle
    return best


def _first_fit(sizes: Sequence[float], count: int, capacity: float) -> list[int] | None:
    loads = [0.0] * count
    shards = []
    limit = capacity * (1 + _NEAR)
    for size in sizes:
        fitting = next((shard for shard in range(count) if loads[shard] + size <= limit), None)
        if fitting is None:
            return None
        shards.append(fitting)
        loads[fitting] += size
    return shards


def exact(sizes: Sequence[float], count: int) -> Partition:
    """Branch and bound from MULTIFIT's result; `proven` is false when its steps did not suffice."""
    best = multifit(sizes, count)
    if best.proven:
        return best
    search = _Search(sizes, count, best)
    search.run()
    return search.best


def even(sizes: Sequence[float], count: int) -> Partition:
    """Exact for small suites, MULTIFIT for others."""
    return exact(sizes, count) if len(sizes) <= EXACT_ITEMS else multifit(sizes, count)


class _Search:
    """Depth first over the sizes, longest first: each to every shard with another load than those tried before it."""

    def __init__(self, sizes: Sequence[float], count: int, best: Partition) -> None:
        self.best = best
        self._sizes = sizes
        self._count = count
        self._bound = lower_bound(sizes, count)
        self._rest = [math.fsum(sizes[at:]) for at in range(len(sizes) + 1)]
        self._steps = _STEPS

    def run(self) -> None:
        """Improve `best` until it is proven or the steps are used up."""
        whole = self._place([0.0] * self._count, [])
        if whole and not self.best.proven:
            self.best = Partition(shards=self.best.shards, makespan=self.best.makespan, proven=True)

    def _place(self, loads: list[float], shards: list[int]) -> bool:
        """Whether every way to place the rest was looked at, or need not be."""
        at = len(shards)
        if at == len(self._sizes):
            found = _result(shards, self._sizes, self._count)
            if found.makespan < self.best.makespan:
                self.best = found
            return True
        # room below the best longest shard, over all shards, must hold what is left
        room = sum(max(0.0, self.best.makespan - load) for load in loads)
        if self._rest[at] >= room * (1 + _NEAR):
            return True
        for shard in self._choices(loads, self._sizes[at]):
            if not self._steps:
                return False
            self._steps -= 1
            before = loads[shard]
            loads[shard] += self._sizes[at]
            shards.append(shard)
            whole = self._place(loads, shards)
            shards.pop()
            loads[shard] = before
            if self.best.proven:
                return True
            if not whole:
                return False
        return True

    def _choices(self, loads: Sequence[float], size: float) -> Iterator[int]:
        """Shards that stay below the best longest one, lightest first, one of each load."""
        seen: set[float] = set()
        for shard in sorted(range(self._count), key=lambda shard: (loads[shard], shard)):
            if loads[shard] not in seen and loads[shard] + size < self.best.makespan * (1 - _NEAR):
                seen.add(loads[shard])
                yield shard


def _result(shards: Sequence[int], sizes: Sequence[float], count: int) -> Partition:
    loads = [0.0] * count
    for shard, size in zip(shards, sizes, strict=True):
        loads[shard] += size
    makespan = max(loads)
    return Partition(
        shards=tuple(shards),
        makespan=makespan,
        proven=makespan <= lower_bound(sizes, count) * (1 + _NEAR),
    )
