"""Splitting: nothing lost, nothing doubled, SGLang's own order, stable under reordering."""

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.stages import Split
from ci.plan.shards import balance, longest_first, split


@dataclass(frozen=True)
class Item:
    id: str
    est_s: float


items = st.lists(
    st.builds(Item, id=st.text(min_size=1, max_size=8), est_s=st.integers(1, 5000).map(float)),
    unique_by=lambda item: item.id,
    max_size=40,
)
few = items.map(lambda tests: tests[:12])


@given(items, st.integers(1, 20))
def test_every_test_is_in_exactly_one_shard(tests: list[Item], count: int) -> None:
    shards = split(tests, count)
    assert len(shards) == count
    assert sorted(test.id for shard in shards for test in shard) == sorted(test.id for test in tests)


@given(few, st.integers(1, 6), st.sampled_from(Split), st.randoms(use_true_random=False))
def test_every_rule_has_every_test_once_whatever_the_order(
    tests: list[Item], count: int, rule: Split, rng: random.Random
) -> None:
    shards = split(tests, count, rule)
    assert sorted(test.id for shard in shards for test in shard) == sorted(test.id for test in tests)
    shuffled = list(tests)
    rng.shuffle(shuffled)
    assert split(shuffled, count, rule) == shards
    assert balance(tests, count, rule).makespan_s == max(
        sum(test.est_s for test in shard) for shard in shards
    )


@given(items, st.integers(1, 20), st.randoms(use_true_random=False))
def test_the_order_of_discovery_changes_nothing(tests: list[Item], count: int, rng: random.Random) -> None:
    shuffled = list(tests)
    rng.shuffle(shuffled)
    assert split(shuffled, count) == split(tests, count)


@given(items, st.integers(1, 20))
def test_each_shard_runs_longest_first(tests: list[Item], count: int) -> None:
    for shard in split(tests, count):
        assert list(shard) == longest_first(shard)


@given(items, st.integers(1, 20))
def test_more_shards_than_tests_leave_empty_shards_and_no_lonely_pair(tests: list[Item], count: int) -> None:
    sizes = [len(shard) for shard in split(tests, count)]
    if len(tests) <= count:
        assert max(sizes, default=0) <= 1
        assert sizes.count(0) == count - len(tests)


@given(items, st.integers(1, 12))
def test_the_longest_shard_keeps_grahams_bound(tests: list[Item], count: int) -> None:
    """Greedy assignment never exceeds an even share plus the longest test's rest (Graham 1969)."""
    result = balance(tests, count)
    even_s = sum(test.est_s for test in tests) / count
    longest_s = max((test.est_s for test in tests), default=0.0)
    assert result.lower_bound_s - 1e-6 <= result.makespan_s <= even_s + (1 - 1 / count) * longest_s + 1e-6
    assert 1 <= result.enough <= count


def test_the_split_is_sglangs() -> None:
    """Worked by hand from its rule: by (-estimate, name), each to the first of the lightest."""
    tests = [Item("c.py", 10), Item("a.py", 30), Item("b.py", 10), Item("d.py", 20), Item("e.py", 10)]
    names = [[test.id for test in shard] for shard in split(tests, 2)]
    assert names == [["a.py", "c.py"], ["d.py", "b.py", "e.py"]]


def test_a_test_longer_than_an_even_share_is_named_as_the_blocker() -> None:
    tests = [Item("long.py", 3600), Item("x.py", 60), Item("y.py", 60)]
    result = balance(tests, 3)
    assert result.blocker == "long.py"
    assert result.lower_bound_s == 3600
    assert result.enough == 2
    assert result.gap == 0


def test_no_tests_have_no_load() -> None:
    result = balance([], 3)
    assert (result.makespan_s, result.lower_bound_s, result.gap, result.blocker) == (0, 0, 0, "")
