"""How long a queue takes by its estimates, and what no order of it can beat."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


def expect(
    tests: Sequence[Waiting], slots: Slots, takes_s: Mapping[int, float] | None = None, *, nodes: int = 0
) -> Expected:
    """Play the queue through; `takes_s` are real durations by place, without it the estimates are.

    `slots` are those of each of the `nodes`, which take tests from one queue; 0: it is this machine's alone.
    """
    is_shared, nodes = nodes > 0, max(1, nodes)
    takes = {test.place: test.est_s for test in tests} | dict(takes_s or {})
    never = tuple(test.place for test in tests if test.needs > len(slots.ids))
    ordered = in_order([test for test in tests if test.place not in never], slots, is_shared=is_shared)
    place_of = {number: test.place for number, test in enumerate(ordered)}
    waiting = {number: replace(test, place=number) for number, test in enumerate(ordered)}
    first = {number for number, test in waiting.items() if test.first}
    running: list[dict[int, Held]] = [{} for _ in range(nodes)]
    ends: list[tuple[float, int, int]] = []
    starts: dict[int, tuple[float, tuple[str, ...]]] = {}
    now, lower_bound_s = 0.0, _lower_bound_s(ordered, slots, takes, nodes)
    while waiting or any(running):
        taken = True
        while taken:
            taken = False
            for node, held in enumerate(running):
                if node and not first.isdisjoint((*waiting, *running[0])):
                    continue  # it runs roles for the tests of the other one
                start = next_start(waiting.values(), list(held.values()), slots)
                if start is None:
                    continue
                taken, test = True, waiting.pop(start.place)
                held[start.place] = Held(place=start.place, ids=start.ids, alone=test.alone)
                starts[place_of[start.place]] = (now, start.ids)
                heapq.heappush(ends, (now + takes[place_of[start.place]], start.place, node))
        if not ends:  # what is left avoids too many slots
            never = (*never, *(place_of[number] for number in waiting))
            break
        now, ended, node = heapq.heappop(ends)
        del running[node][ended]
    return Expected(makespan_s=now, lower_bound_s=lower_bound_s, starts=starts, never=never)


def _lower_bound_s(tests: Sequence[Waiting], slots: Slots, takes: Mapping[int, float], nodes: int) -> float:
    """Those that go first, one after the other; then the most of: the longest test; and, spread over the nodes, the tests that run alone
    with, of the others, the most of all of them over all tests at a time, their slots over all slots, and those of which no two have
    room beside each other.

    On one node no test runs beside those that run alone.
    """
    first_s = sum(takes[test.place] for test in tests if test.first)
    alone = [takes[test.place] for test in tests if test.alone and not test.first]
    rest = [(test.needs, takes[test.place]) for test in tests if not test.alone and not test.first]
    longest_s = max((seconds for _, seconds in rest), default=0.0)
    bounds = [0.0, sum(seconds for _, seconds in rest) / slots.at_once]
    if slots.ids:
        bounds.append(sum(needs * seconds for needs, seconds in rest) / len(slots.ids))
        bounds.append(sum(seconds for needs, seconds in rest if 2 * needs > len(slots.ids)))
    if nodes == 1:
        return first_s + sum(alone) + max(longest_s, *bounds)
    return first_s + max(longest_s, *alone, (sum(alone) + max(bounds)) / nodes)
