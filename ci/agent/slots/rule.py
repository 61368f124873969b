"""The rule: the first test that fits, and no test ahead of another onto slots that the other may need.

A test waits for running tests that were before it in the queue and for nothing else, whatever the estimates are worth. So the
wait of a test that needs many slots is at most the work that was in front of it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

__all__ = ["Held", "Slots", "Start", "Waiting", "in_order", "next_start"]

# so many ways to pick slots are compared one by one: 4 of 8 GPUs are 70
_COMPARED_SLOTS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What tests share: slots by id (GPUs, or parts of the CPU), at most `at_once` tests at a time.

    `groups` are those that a slot is in, the widest first: its XGMI hive, then its NUMA node.
    """

    ids: tuple[str, ...]
    at_once: int
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, ids: Collection[str]) -> "Slots":
        """The same, with these taken out."""
        left = tuple(each for each in self.ids if each not in ids)
        return Slots(ids=left, at_once=self.at_once, groups=self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A test that waits for `needs` slots outside `avoid`; the smallest `place` is the first in the queue.

    `alone`: nothing else may run beside it. `first`: other nodes wait for it and run nothing meanwhile. `ready`: false while it waits for its time, and its slots are kept for it.
    """

    place: int
    needs: int
    est_s: float = 0.0
    alone: bool = False
    first: bool = False
    avoid: frozenset[str] = frozenset()
    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The slots that a running test has, and its place in the queue."""

    place: int
    ids: tuple[str, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The waiting test that is next, and its slots."""

    place: int
    ids: tuple[str, ...]


def in_order(tests: Sequence[Waiting], slots: Slots, *, is_shared: bool = False) -> list[Waiting]:
    """The tests in the order of the queue: those that go `first`; then one at a time as they are; else alone first, most slots first,
    longest first.

    One at a time and still longest first where the queue `is_shared` with other machines. The widest go first because slots that are free at the start need no time to become free together.
    """
    if slots.at_once == 1 and not is_shared:
        return sorted(tests, key=lambda test: not test.first)
    return sorted(
        tests, key=lambda test: (not test.first, not test.alone, -test.needs, -test.est_s, test.place)
    )


def next_start(waiting: Iterable[Waiting], running: Sequence[Held], slots: Slots) -> Start | None:
    """The next test to start now, None when none may before something has ended."""
    free = set(slots.ids).difference(*(held.ids for held in running))
    lanes = slots.at_once - sum(_lanes(held, slots) for held in running)
    front: list[Waiting] = []
    queue = sorted(waiting, key=lambda each: each.place)
    if lanes < 1 or (not free and all(test.needs for test in queue)):
        return None
    for test in queue:
        usable = _usable(test, front, running, free, slots) - test.avoid
        fits = test.ready and _lanes(test, slots) <= lanes and test.needs <= len(usable)
        if fits and _leaves_lanes(test, front, running, slots):
            return Start(place=test.place, ids=_pick(test.needs, usable, slots))
        front.append(test)
    return None


def _lanes(test: Waiting | Held, slots: Slots) -> int:
    """How many of the tests at a time it counts for."""
    return slots.at_once if test.alone else 1


def _leaves_lanes(test: Waiting, front: Sequence[Waiting], running: Sequence[Held], slots: Slots) -> bool:
    """Whether each test in front could start beside it, as soon as those before that one have ended."""
    for each in front:
        behind = sum(_lanes(held, slots) for held in running if held.place > each.place)
        if behind + _lanes(test, slots) + _lanes(each, slots) > slots.at_once:
            return False
    return True


def _usable(
    test: Waiting, front: Sequence[Waiting], running: Sequence[Held], free: Collection[str], slots: Slots
) -> set[str]:
    """The free slots that no test in front may need."""
    usable = set(free)
    for each in front:
        allowed = set(slots.ids) - each.avoid
        behind = {id_ for held in running if held.place > each.place for id_ in held.ids}
        spare = len(allowed) - len(allowed & behind) - each.needs
        if test.needs > spare:
            usable -= allowed
    return usable


def _pick(needs: int, usable: Collection[str], slots: Slots) -> tuple[str, ...]:
    """So many of them: in as few groups as they can be, where that leaves the fullest groups whole; then the first ones."""
    ordered = [each for each in slots.ids if each in usable]
    if not slots.groups or not needs or len(ordered) > _COMPARED_SLOTS_MAX:
        return tuple(ordered[:needs])
    depth = max((len(groups) for groups in slots.groups.values()), default=0)

    def cost(chosen: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(_spread(chosen, ordered, level, slots) for level in range(depth))

    return min(combinations(ordered, needs), key=cost)


def _spread(chosen: Sequence[str], free: Sequence[str], level: int, slots: Slots) -> tuple[int, int]:
    """In how many groups of this level they are, and how many free slots those groups have."""
    groups = {_group(each, level, slots) for each in chosen}
    return len(groups), sum(_group(each, level, slots) in groups for each in free)


def _group(slot: str, level: int, slots: Slots) -> str:
    groups = slots.groups.get(slot, ())
    return groups[level] if level < len(groups) else slot
