"""When a bench's requests are due, its percentiles, and its pictures."""

import itertools
import math
import random
import statistics
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.arrivals import all_at_once, poisson, schedule
from harness.bench.images import data_url, png
from harness.bench.stats import percentile
from harness.errors import MeasurementError

pytestmark = pytest.mark.in_container

RATES = st.floats(0.01, 1000)
SEEDS = st.integers(0, 2**32)


@given(count=st.integers(0, 200), rate=RATES, seed=SEEDS)
def test_open_loop_begins_at_once_and_never_goes_back(count: int, rate: float, seed: int) -> None:
    due_s = poisson(count, rate=rate, seed=seed)
    assert len(due_s) == count
    assert due_s[:1] == [0.0][:count]
    assert due_s == sorted(due_s)
    assert due_s == poisson(count, rate=rate, seed=seed)


@given(rate=RATES, seed=SEEDS)
def test_twice_the_rate_takes_half_the_time(rate: float, seed: int) -> None:
    slow, fast = poisson(50, rate=rate, seed=seed), poisson(50, rate=2 * rate, seed=seed)
    assert fast == pytest.approx([at / 2 for at in slow])


@given(seed=SEEDS)
def test_more_requests_of_a_seed_begin_like_fewer(seed: int) -> None:
    assert poisson(30, rate=8, seed=seed)[:10] == poisson(10, rate=8, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_exponential(seed: int) -> None:
    due_s = poisson(4001, rate=8, seed=seed)
    gaps = [after - before for before, after in itertools.pairwise(due_s)]
    # four standard errors of 4000 gaps are 6.4 %; spacing that is even has a deviation of 0
    assert statistics.fmean(gaps) == pytest.approx(1 / 8, rel=0.065)
    assert statistics.stdev(gaps) == pytest.approx(1 / 8, rel=0.1)
    assert sum(gap > 1 / 8 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.032)


def test_without_a_rate_all_are_due_at_once() -> None:
    assert schedule(3, rate=None, seed=1) == all_at_once(3) == [0.0, 0.0, 0.0]
    assert schedule(3, rate=2, seed=1) == poisson(3, rate=2, seed=1)


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_rate_that_sends_nothing_is_refused(rate: float) -> None:
    with pytest.raises(MeasurementError, match="never sends"):
        poisson(3, rate=rate, seed=1)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60), st.integers(1, 99))
def test_percentiles_are_those_of_the_statistics_module(values: list[float], per_cent: int) -> None:
    expected = statistics.quantiles(values, n=100, method="inclusive")[per_cent - 1]
    assert percentile(values, per_cent / 100) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentile_at_the_ends_and_in_the_middle(values: list[float]) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 1) == max(values)
    assert percentile(values, 0.5) == pytest.approx(statistics.median(values))


def test_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))
    assert percentile([7.0], 0.99) == 7


@pytest.mark.parametrize("side_px", [1, 32, 40, 100])
def test_picture_is_a_png_of_its_size(side_px: int) -> None:
    data = png(side_px, random.Random(1))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + body),)
        chunks.append((name, body))
        at += 12 + length
    assert [name for name, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[0][1]) == (side_px, side_px, 8, 2, 0, 0, 0)
    assert len(zlib.decompress(chunks[1][1])) == side_px * (1 + 3 * side_px)


def test_pictures_differ_unless_the_seed_is_the_same() -> None:
    choose = random.Random(1)
    first, second = data_url(512, choose), data_url(512, choose)
    assert first.startswith("data:image/png;base64,")
    assert first != second
    assert first == data_url(512, random.Random(1))
    assert len(first) < 10_000, "sending a picture must not be what is measured"
