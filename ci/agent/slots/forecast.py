"""How long a queue takes by its estimates, and what no order of it can beat."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .rule import Held, Slots, Waiting, in_order, next_start

__all__ = ["Expected", "expect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """When each test starts, in seconds from the beginning, and on which slots, by its place before the queue was ordered.

    `lower_bound_s` is the least that any order takes. `never` are the places of tests that need more slots than there are.
    """

    makespan_s: float
    lower_bound_s: float
    starts: Mapping[int, tuple[float, tuple[str, ...]]]
    never: tuple[int, ...] = ()

    @property
    def gap(self) -> float:
        """Share by which the queue takes longer than the lower bound."""
        return self.makespan_s / self.lower_bound_s - 1 if self.lower_bound_s else 0.0


def expect(tests: Sequence[Waiting], slots: Slots, takes_s: Mapping[int, float] | None = None) -> Expected:
    """Play the queue through; `takes_s` are real durations by place, without it the estimates are."""
    takes = {test.place: test.est_s for test in tests} | dict(takes_s or {})
    never = tuple(test.place for test in tests if test.needs > len(slots.ids))
    ordered = in_order([test for test in tests if test.place not in never], slots)
    place_of = {number: test.place for number, test in enumerate(ordered)}
    waiting = {
        number: Waiting(place=number, needs=test.needs, est_s=test.est_s, alone=test.alone, avoid=test.avoid)
        for number, test in enumerate(ordered)
    }
    running: dict[int, Held] = {}
    ends: list[tuple[float, int]] = []
    starts: dict[int, tuple[float, tuple[str, ...]]] = {}
    now = 0.0
    while waiting or running:
        while (start := next_start(waiting.values(), list(running.values()), slots)) is not None:
            test = waiting.pop(start.place)
            running[start.place] = Held(place=start.place, ids=start.ids, alone=test.alone)
            starts[place_of[start.place]] = (now, start.ids)
            heapq.heappush(ends, (now + takes[place_of[start.place]], start.place))
        if not ends:  # what is left avoids too many slots
            return Expected(
                makespan_s=now,
                lower_bound_s=_lower_bound_s(ordered, slots, takes),
                starts=starts,
                never=(*never, *(place_of[number] for number in waiting)),
            )
        now, ended = heapq.heappop(ends)
        del running[ended]
    return Expected(
        makespan_s=now, lower_bound_s=_lower_bound_s(ordered, slots, takes), starts=starts, never=never
    )


def _lower_bound_s(tests: Sequence[Waiting], slots: Slots, takes: Mapping[int, float]) -> float:
    """The tests that run alone, and for the others the most of: the longest, all of them over all tests at a time, their
    slots over all slots, and those of which no two have room beside each other.
    """
    alone_s = sum(takes[test.place] for test in tests if test.alone)
    rest = [(test.needs, takes[test.place]) for test in tests if not test.alone]
    bounds = [0.0, *(seconds for _, seconds in rest)]
    bounds.append(sum(seconds for _, seconds in rest) / slots.at_once)
    if slots.ids:
        bounds.append(sum(needs * seconds for needs, seconds in rest) / len(slots.ids))
        bounds.append(sum(seconds for needs, seconds in rest if 2 * needs > len(slots.ids)))
    return alone_s + max(bounds)
