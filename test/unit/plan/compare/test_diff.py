"""Differences between plans."""

from ci.plan.compare.diff import compare
from support.planning import (
    catalog,
    facts,
    planned,
    registration,
    request,
)

ROWS = [
    registration(f"test/registered/amd/test_{number}.py", est_time_s=10 * number) for number in range(1, 6)
]


def test_a_difference_names_the_field_both_values_and_their_sources() -> None:
    left = planned(catalog(), facts(ROWS), request())
    right = planned(catalog(), facts(ROWS), request(env=(("USE_KERNELS", "0"),)))
    (row,) = compare(left, right)
    assert row.path == "work.suites.1-gpu-small.env.USE_KERNELS"
    assert (row.left, row.right) == ("1", "0")
    assert row.left_source.startswith("base.BASE")
    assert row.right_source.startswith("--env")
    assert compare(left, left) == ()
