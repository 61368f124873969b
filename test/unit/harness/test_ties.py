"""A top-k may differ from the reference where scores tie within float32's rounding, and nowhere else."""

import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.ties import ulp, wrong_pick

pytestmark = pytest.mark.in_container

ULPS = 4
FLOAT32 = st.floats(
    width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100
)
SCORES = st.lists(FLOAT32, min_size=1, max_size=40)


def neighbour(value: float, steps: int) -> float:
    """The float32 so many steps above a positive one."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return float(struct.unpack("<f", struct.pack("<I", bits + steps))[0])


def best(scores: list[float], k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])[:k]


@pytest.mark.parametrize("value", [1.0, 0.5, 0.73105858, 1e-30, 3.4e38])
def test_a_ulp_is_the_step_to_the_next_float32(value: float) -> None:
    rounded = float(struct.unpack("<f", struct.pack("<f", value))[0])
    if rounded < 3e38:
        assert ulp(rounded) == neighbour(rounded, 1) - rounded
    else:
        assert ulp(rounded) == math.ldexp(1.0, 104)


def test_the_step_at_zero_is_the_smallest_number() -> None:
    assert ulp(0.0) == math.ldexp(1.0, -149)


@given(SCORES, st.data())
def test_the_exact_best_is_never_wrong(scores: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scores)))
    assert wrong_pick(scores, best(scores, k), ulps=0) is None


@given(SCORES, st.data())
def test_the_order_of_equal_scores_is_free(scores: list[float], data: st.DataObject) -> None:
    doubled = [*scores, *scores]
    picked = best(doubled, len(doubled))
    place = data.draw(st.integers(0, len(scores) - 1)) * 2
    assume(doubled[picked[place]] == doubled[picked[place + 1]])
    picked[place], picked[place + 1] = picked[place + 1], picked[place]
    assert wrong_pick(doubled, picked, ulps=0) is None


@given(SCORES, st.data())
def test_a_worse_score_in_a_better_place_is_named(scores: list[float], data: st.DataObject) -> None:
    picked = best(scores, len(scores))
    place = data.draw(st.integers(0, len(scores) - 1))
    other = data.draw(st.integers(0, len(scores) - 1))
    high, low = scores[picked[place]], scores[picked[other]]
    assume(abs(high - low) > ULPS * ulp(max(abs(high), abs(low))))
    picked[place], picked[other] = picked[other], picked[place]
    printed = wrong_pick(scores, picked, ulps=ULPS)
    assert printed is not None
    assert f"place {min(place, other)} " in printed


@pytest.mark.parametrize(("steps", "fits"), [(1, True), (4, True), (5, False)])
def test_scores_a_few_steps_apart_tie_and_no_further(steps: int, fits: bool) -> None:  # noqa: FBT001  # a parameter
    scores = [0.75, neighbour(0.75, steps), 0.1]
    assert (wrong_pick(scores, [0, 1], ulps=ULPS) is None) is fits


def test_a_sum_near_zero_keeps_the_rounding_of_its_parts() -> None:
    scores = [1e-8, 1e-7, -2.0]
    assert wrong_pick(scores, [0], ulps=ULPS) is not None
    assert wrong_pick(scores, [0], ulps=ULPS, magnitude=1.0) is None


@pytest.mark.parametrize(
    ("scores", "picked", "printed"),
    [
        ([0.5, 0.25], [0, 0], "picked twice"),
        ([0.5, 0.25], [2], "index 2 is picked of 2"),
        ([0.5, 0.25], [-1], "index -1"),
        ([0.5, math.nan], [0], "score 1 is nan"),
        ([math.inf, 0.5], [0], "score 0 is inf"),
    ],
)
def test_what_is_not_a_top_k_at_all_is_named(scores: list[float], picked: list[int], printed: str) -> None:
    assert printed in str(wrong_pick(scores, picked, ulps=ULPS))
