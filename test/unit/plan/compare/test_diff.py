"""Differences between plans."""

from dataclasses import replace

from ci.plan.compare.diff import compare
from ci.plan.model import Plan
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


def test_a_test_that_one_plan_lacks_is_one_line_with_its_suite() -> None:
    left = planned(catalog(), facts(ROWS), request())
    right = planned(catalog(), facts(ROWS[1:]), request())
    (row,) = compare(left, right)
    assert row.path == f"work.suites.1-gpu-small.tests.{ROWS[0].file}"
    assert (row.left, row.right) == ("present", "(absent)")


def test_of_a_list_each_side_shows_what_the_other_lacks() -> None:
    left = planned(catalog(), facts(ROWS), request(pytest_args=("-x", "-q")))
    right = planned(catalog(), facts(ROWS), request(pytest_args=("-x", "-k", "slow")))
    (row,) = compare(left, right)
    assert (row.path, row.left, row.right) == ("work.pytest_args", "-q", "-k, slow")


def test_another_running_order_is_a_difference() -> None:
    def in_order(*est_time_s: float) -> Plan:
        rows = [replace(row, est_time_s=time_s) for row, time_s in zip(ROWS, est_time_s, strict=False)]
        return planned(catalog(), facts(rows), request())

    paths = [row.path for row in compare(in_order(10, 20), in_order(20, 10))]
    assert "work.suites.1-gpu-small.tests" in paths
