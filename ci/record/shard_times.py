"""How evenly the shards of a suite were filled, by what its tests took."""

from collections.abc import Iterable
from dataclasses import dataclass

from ci.plan.shards import Shard, balance
from ci.record.model import Part, TestRecord

__all__ = ["ShardTimes", "SuiteTimes", "suite_times"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTimes:
    """One shard: how many tests it ran, their estimates, what they took with every attempt, and its run from start to end."""

    shard: Shard
    tests: int
    est_s: float
    took_s: float
    run_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTimes:
    """The shards of a suite that ran, by number, and those of which there is no run.

    `best_s` is the longest shard of another split of the tests that ran into as many shards: longest first, over the
    seconds that they took. `blocker` is the test that alone takes as long, if one does.
    """

    suite: str
    shards: tuple[ShardTimes, ...]
    missing: tuple[Shard, ...]
    best_s: float
    blocker: str

    @property
    def longest_s(self) -> float:
        """Seconds of the longest shard's tests."""
        return max(shard.took_s for shard in self.shards)

    @property
    def spread_s(self) -> float:
        """By how much the longest shard's tests took longer than the shortest's."""
        return self.longest_s - min(shard.took_s for shard in self.shards)

    @property
    def saved_s(self) -> float:
        """What the other split would have saved: nothing where it is no better."""
        return max(0.0, self.longest_s - self.best_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Took:
    """A test as the splitting of shards has it, with what it took for its estimate."""

    id: str
    est_s: float


def suite_times(parts: Iterable[Part]) -> tuple[SuiteTimes, ...]:
    """Each suite of several shards, in the order of the parts.

    A run of several suites is left out: what its run took is not that of one shard.
    """
    found: dict[tuple[str, int], dict[int, Part]] = {}
    for part in parts:
        if len(part.shards) == 1 and (only := part.shards[0]).shard.count > 1:
            found.setdefault((only.suite, only.shard.count), {})[only.shard.index] = part
    return tuple(_times(suite, count, by_index) for (suite, count), by_index in found.items())


def _times(suite: str, count: int, parts: dict[int, Part]) -> SuiteTimes:
    indices = range(1, count + 1)
    ran = [test for part in parts.values() for test in _ran(part)]
    again = balance([_Took(id=test.id, est_s=_took_s(test)) for test in ran], len(parts))
    return SuiteTimes(
        suite=suite,
        shards=tuple(
            ShardTimes(
                shard=Shard(index=index, count=count),
                tests=len(_ran(parts[index])),
                est_s=sum(test.est_s for test in _ran(parts[index])),
                took_s=sum(map(_took_s, _ran(parts[index]))),
                run_s=parts[index].run_s,
            )
            for index in indices
            if index in parts
        ),
        missing=tuple(Shard(index=index, count=count) for index in indices if index not in parts),
        best_s=again.makespan_s,
        blocker=again.blocker,
    )


def _ran(part: Part) -> list[TestRecord]:
    return [test for test in part.record.tests if test.attempts]


def _took_s(test: TestRecord) -> float:
    """Seconds of all attempts, with the waits between them: that long its shard was held."""
    waits = sum(attempt.retry.wait_s for attempt in test.attempts if attempt.retry is not None)
    return test.duration_s + waits
