"""Dividing sizes: never below the bound, exact no worse than MULTIFIT, MULTIFIT no worse than longest first."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.plan.partition import Partition, even, exact, longest_first, lower_bound, multifit

sizes = st.lists(st.integers(1, 5000).map(float), max_size=24).map(lambda each: sorted(each, reverse=True))
small = st.lists(st.integers(1, 60).map(float), min_size=1, max_size=7).map(
    lambda each: sorted(each, reverse=True)
)


def loads(found: Partition, each: list[float], count: int) -> list[float]:
    return [
        sum(size for size, shard in zip(each, found.shards, strict=True) if shard == mine)
        for mine in range(count)
    ]


@given(sizes, st.integers(1, 9))
def test_no_rule_is_below_the_bound_and_each_is_no_worse_than_the_simpler_one(
    each: list[float], count: int
) -> None:
    bound = lower_bound(each, count)
    found = [rule(each, count) for rule in (exact, multifit, longest_first)]
    assert bound <= found[0].makespan <= found[1].makespan <= found[2].makespan
    for result in found:
        assert len(result.shards) == len(each)
        assert set(result.shards) <= set(range(count))
        assert max(loads(result, each, count)) == result.makespan


@given(small, st.integers(1, 4))
def test_exact_is_what_trying_every_way_finds(each: list[float], count: int) -> None:
    best = min(
        max(
            sum(size for size, shard in zip(each, way, strict=True) if shard == mine) for mine in range(count)
        )
        for way in product(range(count), repeat=len(each))
    )
    found = exact(each, count)
    assert (found.makespan, found.proven) == (best, True)


@given(small, st.integers(1, 4))
def test_what_a_cheaper_rule_calls_proven_is_the_best(each: list[float], count: int) -> None:
    best = exact(each, count).makespan
    assert all(
        found.makespan == best for rule in (longest_first, multifit) if (found := rule(each, count)).proven
    )


def test_decimal_estimates_that_fill_all_shards_are_proven() -> None:
    found = exact([0.3, 0.2, 0.2, 0.1, 0.1], 3)
    assert found.makespan == pytest.approx(0.3)
    assert found.proven


def test_a_suite_in_which_longest_first_is_far_from_the_best() -> None:
    """Graham's own example: 2m + 1 sizes, a third above the best for many shards."""
    each = [5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 3.0]
    assert longest_first(each, 3).makespan == 11
    assert exact(each, 3).makespan == even(each, 3).makespan == 9


def test_a_large_suite_is_split_in_a_moment_and_always_alike() -> None:
    each = sorted((float(1 + number * number % 1399) for number in range(300)), reverse=True)
    found = even(each, 14)
    assert found == even(each, 14)
    assert found.makespan <= 1.01 * lower_bound(each, 14)


def test_without_sizes_the_shards_are_empty() -> None:
    assert even([], 3) == Partition(shards=(), makespan=0.0, proven=True)
