"""Which test is next on which slots; and that none waits for a test behind it."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.slots import Held, Slots, Start, Waiting, expect, in_order, next_start

pytestmark = pytest.mark.in_container

EIGHT = Slots(
    ids=tuple("01234567"),
    at_once=8,
    groups={str(gpu): ("hive", f"numa {gpu // 4}") for gpu in range(8)},
)


def one(place: int, needs: int, est_s: float = 1.0, *, alone: bool = False) -> Waiting:
    return Waiting(place=place, needs=needs, est_s=est_s, alone=alone)


def held(place: int, ids: str) -> Held:
    return Held(place=place, ids=tuple(ids))


class TestOrder:
    def test_alone_first_then_the_widest_then_the_longest(self) -> None:
        tests = [one(0, 1, 9), one(1, 2, 3), one(2, 1, 1, alone=True), one(3, 2, 5), one(4, 1, 9)]
        assert [each.place for each in in_order(tests, EIGHT)] == [2, 3, 1, 0, 4]

    def test_one_at_a_time_is_the_order_of_the_spec(self) -> None:
        tests = [one(0, 1, 1), one(1, 2, 9)]
        assert in_order(tests, Slots(ids=("0", "1"), at_once=1)) == tests


class TestTopology:
    """Made-up: two NUMA nodes of four GPUs each, in one hive."""

    def start(self, needs: int, *running: Held) -> tuple[str, ...]:
        found = next_start([one(9, needs)], running, EIGHT)
        assert found is not None
        return found.ids

    def test_two_and_four_gpus_are_of_one_node_where_they_can_be(self) -> None:
        assert self.start(2, held(0, "012")) == ("4", "5")
        assert self.start(4, held(0, "1")) == ("4", "5", "6", "7")

    def test_the_fuller_node_is_filled_so_that_the_other_stays_whole(self) -> None:
        assert self.start(1, held(0, "4")) == ("5",)
        assert self.start(2, held(0, "01")) == ("2", "3")

    def test_they_are_of_two_nodes_rather_than_wait(self) -> None:
        assert self.start(2, held(0, "012"), held(1, "456")) == ("3", "7")

    def test_another_hive_is_worse_than_another_node(self) -> None:
        groups = {"0": ("a", "n0"), "1": ("b", "n0"), "2": ("a", "n1")}
        slots = Slots(ids=tuple("012"), at_once=2, groups=groups)
        assert next_start([one(0, 2)], (), slots) == Start(place=0, ids=("0", "2"))


class TestNobodyStarves:
    def test_a_test_goes_ahead_only_onto_what_those_in_front_cannot_need(self) -> None:
        slots = Slots(ids=tuple("012"), at_once=3)
        running = [held(0, "01")]
        assert next_start([one(1, 2), one(2, 1)], running, slots) == Start(place=2, ids=("2",))
        assert next_start([one(1, 3), one(2, 1)], running, slots) is None

    def test_slots_are_kept_for_a_retry_that_waits_for_its_time(self) -> None:
        slots = Slots(ids=tuple("01"), at_once=2)
        retry = Waiting(place=-1, needs=1, ready=False, avoid=frozenset("0"))
        assert next_start([retry, one(1, 1)], [], slots) == Start(place=1, ids=("0",))
        assert next_start([retry, one(2, 1)], [held(1, "0")], slots) is None

    def test_nothing_starts_beside_a_test_that_runs_alone_or_before_one(self) -> None:
        alone = Held(place=0, ids=("0",), alone=True)
        assert next_start([one(1, 1)], [alone], EIGHT) is None
        assert next_start([one(1, 1, alone=True), one(2, 1)], [held(0, "0")], EIGHT) is None


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[Waiting], Slots, Mapping[int, float]]:
    """Tests with estimates, how long they really take, and the slots that they share."""
    count = draw(st.integers(1, 8))
    ids = tuple(map(str, range(count)))
    slots = Slots(ids=ids, at_once=draw(st.integers(1, count)))
    drawn = st.tuples(
        st.integers(0, count), st.integers(1, 50), st.integers(1, 50), st.booleans(), st.booleans()
    )
    rows = draw(st.lists(drawn, min_size=1, max_size=25))
    tests = [
        Waiting(
            place=place,
            needs=needs,
            est_s=est_s,
            alone=alone and needs == 1,
            first=first and alone and needs == 1,
        )
        for place, (needs, est_s, _, alone, first) in enumerate(rows)
    ]
    return tests, slots, {place: float(row[2]) for place, row in enumerate(rows)}


@given(queues())
def test_each_runs_once_and_waits_for_no_more_than_the_work_in_front_of_it(
    queue: tuple[list[Waiting], Slots, Mapping[int, float]],
) -> None:
    tests, slots, takes_s = queue
    found = expect(tests, slots, takes_s)
    assert sorted(found.starts) == [each.place for each in tests]
    in_front_s = 0.0
    for each in in_order(tests, slots):
        assert found.starts[each.place][0] <= in_front_s
        in_front_s += takes_s[each.place]
    assert found.lower_bound_s <= found.makespan_s <= in_front_s


@given(queues())
def test_no_slot_has_two_tests_and_no_more_run_than_may(
    queue: tuple[list[Waiting], Slots, Mapping[int, float]],
) -> None:
    tests, slots, takes_s = queue
    starts = expect(tests, slots, takes_s).starts
    by_place = {each.place: each for each in tests}
    spans = sorted((at_s, at_s + takes_s[place], place) for place, (at_s, _) in starts.items())
    for slot in slots.ids:
        mine = [(begin, end) for begin, end, place in spans if slot in starts[place][1]]
        assert all(first[1] <= second[0] for first, second in pairwise(mine))
    for begin, _, place in spans:
        beside = [each for since, until, each in spans if since <= begin < until]
        assert len(beside) <= slots.at_once
        assert len(beside) == 1 or not any(by_place[each].alone for each in beside)
        assert len(starts[place][1]) == by_place[place].needs


@given(queues(), st.integers(2, 4))
def test_nodes_that_share_a_queue_run_each_test_once_within_the_bounds(
    queue: tuple[list[Waiting], Slots, Mapping[int, float]], nodes: int
) -> None:
    tests, slots, takes_s = queue
    found = expect(tests, slots, takes_s, nodes=nodes)
    assert sorted(found.starts) == [each.place for each in tests]
    assert found.lower_bound_s <= found.makespan_s + 1e-9
    assert found.makespan_s <= sum(takes_s.values())
    for begin, _ in found.starts.values():
        beside = [place for place, (at_s, _) in found.starts.items() if at_s <= begin < at_s + takes_s[place]]
        assert len(beside) <= nodes * slots.at_once
        assert sum(each.needs for each in tests if each.place in beside) <= nodes * len(slots.ids)


def test_other_nodes_begin_when_the_tests_that_need_them_have_ended() -> None:
    served = Waiting(place=2, needs=1, est_s=4, alone=True, first=True)
    found = expect([one(0, 1, 9), one(1, 1, 9), served], Slots(ids=("0",), at_once=1), nodes=2)
    assert {place: at_s for place, (at_s, _) in found.starts.items()} == {2: 0, 0: 4, 1: 4}
    assert (found.makespan_s, found.lower_bound_s) == (13, 13)


def test_a_test_that_needs_more_than_there_is_never_starts() -> None:
    assert expect([one(0, 9), one(1, 1)], EIGHT).never == (0,)


def test_the_bound_counts_slots_the_longest_and_what_has_no_room_beside_each_other() -> None:
    four = Slots(ids=tuple("0123"), at_once=4)
    assert expect([one(0, 1, 8), one(1, 1, 2)], four).lower_bound_s == 8
    assert expect([one(place, 2, 6) for place in range(4)], four).lower_bound_s == 12
    assert expect([one(0, 3, 5), one(1, 3, 5)], four).lower_bound_s == 10
    assert expect([one(0, 1, 5, alone=True), one(1, 1, 5)], four).lower_bound_s == 10
