"""Shard counts and routing for a time to green that nine of ten changes keep, within a budget of GPU hours."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.scenario import Fleet, Load
from ci.plan.shards import balance

__all__ = ["Found", "Goal", "Step", "search"]

# suites that hold up the changes for longest: one more shard is tried for each
_CANDIDATES: Final = 3
_LEAST_GAIN: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is looked for, and how many fleets may be simulated on the way."""

    green_p90_s: float
    gpu_h_a_day: float
    simulations: int = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A fleet that was kept: what was changed, and what it gives."""

    change: str
    green_p90_s: float
    gpu_h_a_day: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best fleet, the steps that led to it, whether it meets the goal, and how many were simulated.

    `critical_s` is by suite how long it alone holds up a change in that fleet.
    """

    fleet: Fleet
    steps: tuple[Step, ...]
    met: bool
    simulations: int
    critical_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    change: str
    fleet: Fleet
    result: FleetResult

    @property
    def step(self) -> Step:
        return Step(
            change=self.change,
            green_p90_s=self.result.main.green_p90_s,
            gpu_h_a_day=self.result.gpu_h_a_day,
        )


class _Search:
    def __init__(self, load: Load, goal: Goal, run: Callable[[Fleet], FleetResult]) -> None:
        self.load = load
        self.goal = goal
        self.run = run
        self.simulations = 0
        self.suites = {suite.name: suite for suite in load.catalog.suites}

    def attempt(self, change: str, fleet: Fleet) -> _Tried | None:
        """Simulate a fleet; None when no more may be."""
        if self.simulations >= self.goal.simulations:
            return None
        self.simulations += 1
        return _Tried(change=change, fleet=fleet, result=self.run(fleet))

    def rank(self, tried: _Tried) -> tuple[bool, bool, float, float]:
        """The best is the least: within the budget, in time, then fast; of those in time the cheapest."""
        step = tried.step
        late = not step.green_p90_s <= self.goal.green_p90_s
        dear = step.gpu_h_a_day > self.goal.gpu_h_a_day
        first = (step.green_p90_s, step.gpu_h_a_day) if late else (step.gpu_h_a_day, step.green_p90_s)
        return dear, late, *first

    def shards_of(self, fleet: Fleet, suite: str) -> int:
        return fleet.shards.get(suite, self.suites[suite].shards)

    def routings(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Every other choice of a routing row for each family."""
        rows = self.load.catalog.routings
        choices = [
            [row for row in rows if row.family == family]
            for family in dict.fromkeys(row.family for row in rows)
        ]
        for chosen in product(*choices):
            if not all(row.in_force for row in chosen):
                ids = {row.family: row.id for row in chosen}
                yield "routing " + ", ".join(row.id for row in chosen if not row.in_force), ids

    def neighbours(self, now: _Tried) -> Iterator[tuple[str, Fleet]]:
        """More shards for a suite that holds up changes, fewer for any that has several and stays within its limit."""
        late = not now.result.main.green_p90_s <= self.goal.green_p90_s
        critical = sorted(now.result.critical_s.items(), key=lambda each: (-each[1], each[0]))
        if late:
            for suite, _ in critical[:_CANDIDATES]:
                count = self.shards_of(now.fleet, suite)
                if count < len(self.load.tests.get(suite, ())):
                    yield self.with_shards(now.fleet, suite, count + max(1, count // 4))
        for suite in self.suites:
            fewer = self.shards_of(now.fleet, suite)
            fewer -= max(1, fewer // 4)
            if fewer and self.load.tests.get(suite) and self.is_within_limit(suite, fewer):
                yield self.with_shards(now.fleet, suite, fewer)

    def is_within_limit(self, suite: str, count: int) -> bool:
        """Whether no shard is expected to run into its limit."""
        row = self.suites[suite]
        longest_s = balance(self.load.tests[suite], count, row.split).makespan_s
        return longest_s * self.load.catalog.fleet.policy.factor <= row.timeout_s

    def with_shards(self, fleet: Fleet, suite: str, count: int) -> tuple[str, Fleet]:
        words = f"{suite} in {count} shard{'s' if count > 1 else ''}"
        return words, replace(fleet, shards={**fleet.shards, suite: count})


def search(load: Load, base: Fleet, goal: Goal, run: Callable[[Fleet], FleetResult]) -> Found:
    """Routing first, then one suite's shards at a time, as long as it helps; `run` simulates a fleet."""
    searching = _Search(load, goal, run)
    best = searching.attempt("as it is", base)
    if best is None:
        return Found(fleet=base, steps=(), met=False, simulations=0, critical_s={})
    steps = [best.step]
    for words, routing in searching.routings():
        tried = searching.attempt(words, replace(base, routing=routing))
        if tried is not None and _is_better(searching, tried, best):
            best = tried
    if best.fleet != base:
        steps.append(best.step)
    while True:
        tried_all = [
            tried
            for words, fleet in searching.neighbours(best)
            if (tried := searching.attempt(words, fleet)) is not None
        ]
        better = min(tried_all, key=searching.rank, default=None)
        if better is None or not _is_better(searching, better, best):
            break
        best = better
        steps.append(best.step)
    met = searching.rank(best)[:2] == (False, False)
    return Found(
        fleet=best.fleet,
        steps=tuple(steps),
        met=met,
        simulations=searching.simulations,
        critical_s=best.result.critical_s,
    )


def _is_better(searching: _Search, new: _Tried, old: _Tried) -> bool:
    """Better by more than what differs by luck."""
    (dear, late, first, _), (old_dear, old_late, old_first, _) = searching.rank(new), searching.rank(old)
    if (dear, late) != (old_dear, old_late):
        return (dear, late) < (old_dear, old_late)
    return first < old_first * (1 - _LEAST_GAIN)
