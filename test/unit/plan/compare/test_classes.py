"""Plans of one request on several hardware classes: what differs is shown, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from ci.plan.bounds import bounds_of
from ci.plan.compare.classes import ClassDifference, compare_classes, reference_column
from ci.plan.model import Plan
from support.planning import STAGE_B_SMALL, catalog, mi300x, planned, registration, request

CLASSES = ("mi300x", "mi325x", "mi355x")
GREEDY = "test/registered/amd/test_flaky.py"
SPEED = "test/registered/amd/test_speed.py"


def plans(*files: str, classes: tuple[str, ...] = CLASSES) -> dict[str, Plan]:
    rows = [registration(file, STAGE_B_SMALL) for file in files]
    asked = request("stage-b-amd", suites=("1-gpu-small",), compared=True)
    return {
        name: planned(
            catalog(),
            mi300x(rows, today=date(2026, 5, 29))
            if name == "mi300x"
            else replace(mi300x(rows), hardware_class=name),
            asked,
        )
        for name in classes
    }


def by_name(rows: tuple[ClassDifference, ...]) -> dict[str, Mapping[str, str]]:
    return {row.name: row.values for row in rows}


def test_bounds_environment_and_quarantine_differ_and_nothing_else() -> None:
    rows = compare_classes(plans(GREEDY, SPEED))
    found = by_name(rows)
    assert found["ttft_s"] == {"mi300x": "< 2 s", "mi325x": "< 1 s", "mi355x": "report only"}
    assert found["GPU_ARCHS"] == {"mi300x": "-", "mi325x": "-", "mi355x": "gfx950"}
    assert found[f"{GREEDY}::test_greedy"] == {"mi300x": "gates nothing", "mi325x": "-", "mi355x": "-"}
    parts = ("work.bounds.", "work.quarantine.", "work.capabilities.", "work.suites.1-gpu-small.env.")
    assert all(row.path.startswith(parts) for row in rows), [row.path for row in rows]


def test_a_difference_has_the_source_of_each_value() -> None:
    (row,) = [row for row in compare_classes(plans(SPEED)) if row.name == "ttft_s"]
    assert row.group == f"bounds of {SPEED}"
    assert "fixture#north" in row.sources["mi300x"]
    assert set(row.sources) == set(CLASSES)


@given(st.sampled_from(CLASSES))
def test_a_plan_does_not_differ_from_itself(name: str) -> None:
    one = plans(GREEDY, SPEED, classes=(name,))[name]
    assert compare_classes({"a": one, "b": one}) == ()


def test_what_is_equal_on_all_classes_is_not_shown() -> None:
    two = plans(SPEED, classes=("mi300x", "mi325x"))
    assert set(by_name(compare_classes(two))) == {"ttft_s", "itl_s"}


def test_a_reference_class_is_a_column_of_bounds() -> None:
    rows = compare_classes(plans(GREEDY, SPEED))
    found = by_name(reference_column(rows, "cuda", bounds_of(catalog(), "cuda", [SPEED], engine="sglang")))
    assert found["ttft_s"]["cuda"] == "< 1 s"
    assert found["GPU_ARCHS"]["cuda"] == "-"
