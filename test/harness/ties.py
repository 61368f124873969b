"""Judging a top-k in which scores tie: which of two equal scores comes first is not defined.

Torch-free, so that it is tested where no GPU is. Two scores tie when they are a few float32 ULPs apart, the rounding of
the kernels that computed them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["ulp", "wrong_pick"]

_MANTISSA_BITS = 24  # of a float32, with the hidden one
_SMALLEST_EXPONENT = -149  # of a float32 that is not zero


def ulp(value: float) -> float:
    """The distance between neighbouring float32 numbers at this magnitude."""
    _, exponent = math.frexp(value)  # 0 has exponent 0, as 0.5 has
    return math.ldexp(
        1.0, max(exponent - _MANTISSA_BITS, _SMALLEST_EXPONENT) if value else _SMALLEST_EXPONENT
    )


def wrong_pick(
    scores: Sequence[float], picked: Sequence[int], *, ulps: float, magnitude: float = 0.0
) -> str | None:
    """What is wrong with the indices `picked` as the best of `scores`, best first; None when nothing is.

    Each place has to hold a score that is at most `ulps` away from the one that belongs there. `magnitude` is the size of
    the numbers that a score was added up from: a sum near zero keeps the rounding of its parts.
    """
    odd = [index for index, score in enumerate(scores) if not math.isfinite(score)]
    if odd:
        return f"score {odd[0]} is {scores[odd[0]]}, which nothing can be ranked by"
    outside = [index for index in picked if not 0 <= index < len(scores)]
    if outside:
        return f"index {outside[0]} is picked of {len(scores)} scores"
    if len(set(picked)) != len(picked):
        return f"an index is picked twice: {list(picked)}"
    ranked = sorted(scores, reverse=True)
    for place, (index, best) in enumerate(zip(picked, ranked, strict=False)):
        apart = abs(scores[index] - best) / ulp(max(abs(scores[index]), abs(best), magnitude))
        if apart > ulps:
            return (
                f"place {place} holds index {index} with score {scores[index]!r}, {apart:g} ULPs from the {best!r} that "
                f"belongs there ({ulps:g} allowed)"
            )
    return None
