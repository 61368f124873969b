"""The bounds of a plan."""

from types import SimpleNamespace

import pytest

from ci.catalog.bounds import Bound
from ci.catalog.catalog import Catalog
from ci.execute.spec import make_spec
from ci.plan.bounds import bounds_of
from ci.plan.facts import Known
from support.planning import bound, catalog, facts, mi300x, planned, registration, request

TEST = "test/registered/b/test_x.py"


def with_bounds(*bounds: Bound) -> Catalog:
    return SimpleNamespace(bounds=bounds)  # type: ignore[return-value]  # only its bounds are read


@pytest.mark.parametrize("rows", [(bound(">", 1), bound("<", 9)), (bound("<", 9), bound(">", 1))])
def test_a_plan_has_the_floor_with_its_ceiling_in_it(rows: tuple[Bound, Bound]) -> None:
    found = bounds_of(with_bounds(*rows), "mi300x", [TEST], engine="sglang")[TEST]["m"]
    assert (found.op, found.limit, found.source) == (">", 1, ">1")
    assert found.ceiling is not None
    assert (found.ceiling.op, found.ceiling.limit) == ("<", 9)


def test_a_plan_has_the_rows_of_its_own_class_alone() -> None:
    rows = (bound("<", 100), bound("<", 58, "mi325x"), bound("<", 57, "cuda"))
    found = bounds_of(with_bounds(*rows), "mi325x", [TEST], engine="sglang")
    assert found[TEST]["m"].limit == 58
    assert found[TEST]["m"].ceiling is None


@pytest.mark.parametrize(("engine", "limit"), [("llamacpp", 7), ("sglang", 5)])
def test_a_plan_has_the_rows_of_its_own_engine_and_those_of_all(engine: str, limit: float) -> None:
    rows = (
        bound(">", 7, "cpu", engine="llamacpp"),
        bound(">", 5, "cpu", engine="sglang"),
        bound("<", 9, "cpu", metric="n"),
    )
    found = bounds_of(with_bounds(*rows), "cpu", [TEST], engine=engine)[TEST]
    assert {metric: row.limit for metric, row in found.items()} == {"m": limit, "n": 9}


def test_another_tree_has_no_bounds_of_ours_though_a_path_is_the_same() -> None:
    test = catalog().bounds[0].test
    rows = [registration(test)]
    assert planned(catalog(), facts(rows), request()).work.bounds
    theirs = facts(rows, checkout=Known(value="b" * 40, source="git"))
    assert planned(catalog(), theirs, request()).work.bounds == {}


def test_the_agent_gets_every_row_of_a_test() -> None:
    test = catalog().bounds[0].test
    metrics = sorted(
        {row.metric for row in catalog().bounds if row.test == test and "mi300x" in row.hardware}
    )

    plan = planned(catalog(), mi300x([registration(test)]), request())
    spec = make_spec(plan, run="r", run_dir="/r", token="t", known_features=())
    assert [row.metric for row in spec.suites[0].tests[0].metrics] == metrics != []
