"""Rows of bounds.toml: floors and ceilings, reference classes, and whether rows and tests know each other."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.bounds import Bound, load_bounds
from ci.catalog.catalog import Catalog
from ci.catalog.decode import Reader
from ci.catalog.registrations.parse import Discovery
from ci.catalog.registrations.test_requirements import Requirements
from ci.errors import Problem
from ci.execute.spec import make_spec
from ci.plan.bounds import bounds_of
from ci.plan.check import check_registrations
from ci.plan.facts import Known
from support.planning import STAGE_B_SMALL, catalog, discovery, facts, mi300x, planned, registration, request

TEST = "test/registered/b/test_x.py"
OPS = {">": lambda v, n: v > n, ">=": lambda v, n: v >= n, "<": lambda v, n: v < n, "<=": lambda v, n: v <= n}


def row(**changes: object) -> str:
    """A row of the file, in TOML."""
    keys: dict[str, object] = {
        "test": TEST,
        "metric": "m",
        "hardware": ["cpu"],
        "op": ">",
        "limit": 1,
        "source": "s",
    }
    keys = {key: value for key, value in (keys | changes).items() if value is not None}
    spelt = (
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in keys.items()
    )
    return "[[bound]]\n" + "\n".join(spelt) + "\n"


def load(folder: Path, *rows: str) -> tuple[tuple[Bound, ...], list[str]]:
    (folder / "bounds.toml").write_text("\n".join(rows))
    reader = Reader(folder)
    bounds = load_bounds(reader, catalog().hardware)
    return bounds, [str(problem) for problem in reader.problems]


limits = st.integers(0, 4)


@given(st.sampled_from([">", ">="]), limits, st.sampled_from(["<", "<="]), limits, st.booleans())
def test_a_floor_and_a_ceiling_are_taken_when_something_can_hold_both(
    tmp_path_factory: pytest.TempPathFactory,
    floor_op: str,
    floor: int,
    ceiling_op: str,
    ceiling: int,
    swapped: bool,  # noqa: FBT001  # hypothesis hands it over
) -> None:
    rows = [row(op=floor_op, limit=floor), row(op=ceiling_op, limit=ceiling)]
    _, problems = load(tmp_path_factory.mktemp("catalog"), *(rows[::-1] if swapped else rows))
    values = [number / 2 for number in range(12)]
    possible = any(OPS[floor_op](value, floor) and OPS[ceiling_op](value, ceiling) for value in values)
    assert bool(problems) == (not possible)
    if problems:
        assert "are reversed" in problems[0]
        assert f"floor {floor_op} {floor} and ceiling {ceiling_op} {ceiling}" in problems[0]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"op": ">"}, {"op": ">="}),
        ({"op": "<"}, {"op": "<", "limit": 9}),
        ({"report_only": True, "why": "w", "op": None, "limit": None}, {"op": "<", "limit": 9}),
        ({"op": ">"}, {"report_only": True, "why": "w", "op": None, "limit": None}),
    ],
)
def test_two_rows_of_one_direction_are_one_too_many(
    tmp_path: Path, one: dict[str, object], two: dict[str, object]
) -> None:
    _, problems = load(tmp_path, row(**one), row(**two))
    assert len(problems) == 1
    assert f"m of {TEST} on cpu appears twice" in problems[0]


def test_a_third_row_and_two_units_are_named(tmp_path: Path) -> None:
    _, problems = load(tmp_path, row(), row(op="<", limit=9, unit="ms"), row(op="<", limit=8))
    assert any("floor in '', ceiling in 'ms'" in problem for problem in problems)
    assert any("appears twice" in problem for problem in problems)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"source": None}, "source: is missing"),
        ({"limit": None}, "needs op and limit (or report_only"),
        ({"limit": -1}, "limit: is -1"),
        ({"op": "=="}, "op: unknown value '==' (did you mean '>=' or '<='?)"),
        ({"hardware": ["cudda"]}, "hardware: unknown hardware class 'cudda' (did you mean 'cuda' or"),
        ({"report_only": True}, "why is missing"),
        ({"metric": []}, "metric: is empty"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, object], found: str) -> None:
    _, problems = load(tmp_path, row(**changes))
    assert any(found in problem for problem in problems), problems


def test_a_row_with_lists_holds_for_every_pair(tmp_path: Path) -> None:
    bounds, problems = load(tmp_path, row(test=["a.py", "b.py"], metric=["m", "n"]))
    assert problems == []
    assert [(bound.test, bound.metric) for bound in bounds] == [
        ("a.py", "m"),
        ("a.py", "n"),
        ("b.py", "m"),
        ("b.py", "n"),
    ]


def test_cuda_is_a_column_of_bounds_and_no_machine(tmp_path: Path) -> None:
    _, problems = load(tmp_path, row(hardware=["cuda"]))
    assert problems == []
    assert "cuda" not in catalog().hardware.classes
    assert set(catalog().hardware.references) == {"cuda"}


# --- in a plan


def with_bounds(*bounds: Bound) -> Catalog:
    return SimpleNamespace(bounds=bounds)  # type: ignore[return-value]  # only its bounds are read


def bound(op: str, limit: float, hardware: str = "mi300x", **changes: object) -> Bound:
    values: dict[str, object] = {
        "test": TEST,
        "metric": "m",
        "unit": "ms",
        "report_only": False,
        "why": "",
        "source": f"{op}{limit}",
    }
    return Bound(hardware=(hardware,), op=op, limit=limit, **(values | changes))  # type: ignore[arg-type]  # values by name


@pytest.mark.parametrize("rows", [(bound(">", 1), bound("<", 9)), (bound("<", 9), bound(">", 1))])
def test_a_plan_has_the_floor_with_its_ceiling_in_it(rows: tuple[Bound, Bound]) -> None:
    found = bounds_of(with_bounds(*rows), "mi300x", [TEST])[TEST]["m"]
    assert (found.op, found.limit, found.source) == (">", 1, ">1")
    assert found.ceiling is not None
    assert (found.ceiling.op, found.ceiling.limit) == ("<", 9)


def test_a_plan_has_the_rows_of_its_own_class_alone() -> None:
    rows = (bound("<", 100), bound("<", 58, "mi325x"), bound("<", 57, "cuda"))
    found = bounds_of(with_bounds(*rows), "mi325x", [TEST])
    assert found[TEST]["m"].limit == 58
    assert found[TEST]["m"].ceiling is None


def test_another_tree_has_no_bounds_of_ours_though_a_path_is_the_same() -> None:
    test = catalog().bounds[0].test
    rows = [registration(test)]
    assert planned(catalog(), facts(rows), request()).work.bounds
    theirs = facts(rows, checkout=Known(value="b" * 40, source="git"))
    assert planned(catalog(), theirs, request()).work.bounds == {}


# --- rows and tests


def check(metrics: tuple[str, ...] = (), declared: tuple[str, ...] = (), *bounds: Bound) -> list[str]:
    """What `check` says of the metrics of one test in a suite of MI30x machines."""
    tests = discovery([registration(TEST, STAGE_B_SMALL)])
    tests = Discovery(
        registrations=tests.registrations,
        kinds=tests.kinds,
        problems=(),
        files_seen=1,
        requirements={TEST: Requirements(metrics=metrics, declared=declared)},
        cases={TEST: ("test_x",)},
    )
    rows = replace(catalog(), bounds=bounds, test_envs=())
    problems: list[Problem] = []
    check_registrations(rows, tests, own=True, problems=problems)
    return [str(problem) for problem in problems]


def test_a_literal_metric_needs_a_row_for_each_class_of_its_family() -> None:
    assert check(("m",), (), bound(">", 1), bound(">", 1, "mi325x")) == []
    (problem,) = check(("m",), (), bound(">", 1))
    assert "no row of bounds.toml has its metric 'm' for mi325x" in problem
    (problem,) = check(("m", "n"), ())
    assert "'m', 'n' for mi300x, mi325x" in problem


def test_a_declared_metric_needs_a_row_on_any_class() -> None:
    assert check((), ("m",), bound(">", 1, "cpu")) == []
    (problem,) = check((), ("m",))
    assert "no row of bounds.toml has its metric 'm'" in problem


def test_a_row_whose_metric_or_test_is_gone_is_a_problem() -> None:
    (problem,) = check((), (), bound(">", 1))
    assert "the test has no metric 'm'" in problem
    assert "METRICS" in problem
    (problem,) = check((), (), bound(">", 1, test="test/registered/gone.py"))
    assert "bound[test/registered/gone.py].test: no such registered test" in problem


def test_the_agent_gets_the_metrics_that_a_whole_test_must_record() -> None:
    test = catalog().bounds[0].test
    metrics = sorted(
        {row.metric for row in catalog().bounds if row.test == test and "mi300x" in row.hardware}
    )

    def asked(**changes: Any) -> list[str]:
        plan = planned(catalog(), mi300x([registration(test)]), request(**changes))
        spec = make_spec(plan, run="r", run_dir="/r", token="t", known_features=())
        return list(spec.suites[0].tests[0].metrics)

    assert asked() == metrics != []
    assert asked(tests=(f"{test}::test_a",)) == []
    assert asked(pytest_args=("-k", "x")) == []
