"""Splitting a suite's tests into shards.

The rule is SGLang's own, so that its shard 7 of 14 and ours hold the same files: longest first (equal estimates by
name), each test to the shard with the least work so far (the first of equals). A suite's row may choose another one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from ci.catalog.stages import Split
from ci.plan import partition
from ci.plan.partition import Partition

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

    `lower_bound_s` is what no split can beat. `blocker` is the test that sets it, if one does. `enough` is the smallest
    number of shards with the same longest shard. `proven`: no other split into as many has a shorter one.
    """

    makespan_s: float
    lower_bound_s: float
    blocker: str
    enough: int
    proven: bool

    @property
    def gap(self) -> float:
        """Share by which the longest shard exceeds the lower bound."""
        return self.makespan_s / self.lower_bound_s - 1 if self.lower_bound_s else 0.0


_RULES: Final[Mapping[Split, Callable[[Sequence[float], int], Partition]]] = {
    Split.SGLANG: partition.longest_first,
    Split.EVEN: partition.even,
}


def longest_first(tests: Sequence[T]) -> list[T]:
    """The order in which tests run: longest first, equal estimates by id."""
    return sorted(tests, key=lambda test: (-test.est_s, test.id))


def split(tests: Sequence[T], count: int, rule: Split = Split.SGLANG) -> tuple[tuple[T, ...], ...]:
    """`count` shards, each longest first; every test is in exactly one. With fewer tests than shards some are empty."""
    ordered = longest_first(tests)
    shards: list[list[T]] = [[] for _ in range(count)]
    for test, shard in zip(ordered, _divided(ordered, count, rule).shards, strict=True):
        shards[shard].append(test)
    return tuple(tuple(shard) for shard in shards)


def balance(tests: Sequence[Sized], count: int, rule: Split = Split.SGLANG) -> Balance:
    """Measure the split of `tests` into `count` shards by their estimates."""
    ordered = longest_first(tests)
    result = _divided(ordered, count, rule)
    lower_s = partition.lower_bound([test.est_s for test in ordered], count)
    enough = next(
        (fewer for fewer in range(1, count) if _divided(ordered, fewer, rule).makespan <= result.makespan),
        count,
    )
    return Balance(
        makespan_s=result.makespan,
        lower_bound_s=lower_s,
        blocker=ordered[0].id if ordered and ordered[0].est_s >= lower_s else "",
        enough=enough,
        proven=result.proven,
    )


def _divided(ordered: Sequence[Sized], count: int, rule: Split) -> Partition:
    return _RULES[rule]([test.est_s for test in ordered], count)
