"""Splitting a suite's tests into shards.

The rule is SGLang's own, so that its shard 7 of 14 and ours hold the same files: longest first (equal estimates by
name), each test to the shard with the least work so far (the first of equals).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Balance", "Shard", "Sized", "balance", "longest_first", "split"]


class Sized(Protocol):
    """Anything with an id and an estimate in seconds."""

    @property
    def id(self) -> str: ...
    @property
    def est_s(self) -> float: ...


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Shard `index` of `count`, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How well a suite's tests fill its shards.

    `lower_bound_s` is what no split can beat: the longest test, or the total shared evenly. `blocker` is the test
    that sets it, if one does. `enough` is the smallest number of shards with the same longest shard.
    """

    makespan_s: float
    lower_bound_s: float
    blocker: str
    enough: int

    @property
    def gap(self) -> float:
        """Share by which the longest shard exceeds the lower bound."""
        return self.makespan_s / self.lower_bound_s - 1 if self.lower_bound_s else 0.0


def longest_first(tests: Sequence[T]) -> list[T]:
    """The order in which tests run: longest first, equal estimates by id."""
    return sorted(tests, key=lambda test: (-test.est_s, test.id))


def split(tests: Sequence[T], count: int) -> tuple[tuple[T, ...], ...]:
    """`count` shards, each longest first; every test is in exactly one. With fewer tests than shards some are empty."""
    shards: list[list[T]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for test in longest_first(tests):
        lightest = loads.index(min(loads))
        shards[lightest].append(test)
        loads[lightest] += test.est_s
    return tuple(tuple(shard) for shard in shards)


def balance(tests: Sequence[Sized], count: int) -> Balance:
    """Measure the split of `tests` into `count` shards by their estimates."""

    def makespan_s(shards: int) -> float:
        return max((sum(test.est_s for test in shard) for shard in split(tests, shards)), default=0.0)

    loads = tuple(sum(test.est_s for test in shard) for shard in split(tests, count))
    longest = max(tests, key=lambda test: (test.est_s, test.id), default=None)
    even_s = sum(loads) / count
    longest_s = longest.est_s if longest is not None else 0.0
    makespan = max(loads, default=0.0)
    enough = next((fewer for fewer in range(1, count) if makespan_s(fewer) <= makespan), count)
    return Balance(
        makespan_s=makespan,
        lower_bound_s=max(even_s, longest_s),
        blocker=longest.id if longest is not None and longest_s >= even_s else "",
        enough=enough,
    )
