"""The environment of one test over its suite's."""

from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.environment import TestEnv
from ci.errors import UsageError
from ci.execute.spec import make_spec
from ci.plan.compare.diff import compare
from ci.plan.facts import Known
from ci.plan.model import Plan
from support.planning import catalog, facts, planned, registration, request

FP4, FP8, PLAIN = (f"test/registered/amd/test_{name}.py" for name in ("fp4", "fp8", "plain"))
ROWS = [registration(file) for file in (FP4, FP8, PLAIN)]


def with_envs(**sets: tuple[str, ...]) -> Catalog:
    files = {"fp4": FP4, "fp8": FP8}
    rows = tuple(TestEnv(test=files[name], sets=names, why="w") for name, names in sets.items())
    return replace(catalog(), test_envs=rows)


QUARTET = with_envs(
    fp4=("big_model.COMMON", "big_model.FP4"),
    fp8=("big_model.COMMON", "big_model.FP8"),
)


def plan(rows: Catalog = QUARTET, **changes: Any) -> Plan:
    return planned(rows, facts(ROWS), request(**changes))


def env_of(made: Plan, test: str) -> dict[str, str]:
    return dict(next(one.env for one in made.work.suites[0].tests if one.id == test))


def test_a_test_has_only_what_differs_from_its_suite() -> None:
    made = plan()
    fp4, fp8 = env_of(made, FP4), env_of(made, FP8)
    assert env_of(made, PLAIN) == {}
    assert fp4.keys() == fp8.keys()
    assert {name for name in fp4 if fp4[name] != fp8[name]} == {"FP4_EXPERTS"}
    assert "USE_KERNELS" not in fp4, "the suite says the same"
    assert fp4.keys().isdisjoint(made.work.suites[0].env)


def test_each_value_has_its_source_and_a_difference_names_the_test() -> None:
    made = plan()
    path = f"work.suites.1-gpu-small.tests.{FP4}.env.FP4_EXPERTS"
    assert made.sources[path].startswith("big_model.FP4: ")
    changed = plan(with_envs(fp4=("big_model.COMMON", "big_model.FP8"), fp8=QUARTET.test_envs[1].sets))
    (row,) = compare(made, changed)
    assert (row.path, row.left, row.right) == (path, "true", "false")
    assert row.left_source.startswith("big_model.FP4")
    assert made.digest != changed.digest


def test_what_is_requested_overrides_everything() -> None:
    made = plan(env=(("FP4_EXPERTS", "maybe"),))
    assert "FP4_EXPERTS" not in env_of(made, FP4)
    assert made.work.suites[0].env["FP4_EXPERTS"] == "maybe"


def test_a_variable_of_the_shell_that_only_a_test_sets_is_reported_to_be_ignored() -> None:
    here = facts(ROWS, environ={"FP4_EXPERTS": "maybe"})
    notes = planned(QUARTET, here, request()).notes
    assert "FP4_EXPERTS of your shell is ignored: big_model.FP4 says 'true'" in notes


def test_sets_of_one_test_may_not_disagree() -> None:
    with pytest.raises(UsageError) as caught:
        plan(with_envs(fp4=("big_model.FP4", "big_model.FP8")))
    assert f"layer test {FP4}: FP4_EXPERTS" in caught.value.render()


def test_another_tree_keeps_the_environment_of_its_own_code() -> None:
    here = facts(ROWS, checkout=Known(value="b" * 40, source="git"))
    assert env_of(planned(QUARTET, here, request()), FP4) == {}


def test_the_agent_gets_what_each_test_has_beside_its_suite() -> None:
    spec = make_spec(plan(), run="r", run_dir="/r", token="t", known_features=())
    env = {test.id: test.env for test in spec.suites[0].tests}
    assert env[PLAIN] == {}
    assert env[FP4]["FP4_EXPERTS"] == "true"
