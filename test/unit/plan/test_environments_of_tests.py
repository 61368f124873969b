"""The environment of one test over its suite's: rows, plan, spec and the `envs` session."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.records import TestEnv
from ci.catalog.stages import CATALOG_DIR
from ci.cli.main import main
from ci.errors import UsageError
from ci.execute.spec import make_spec
from ci.plan.compare.diff import compare
from ci.plan.facts import Known
from ci.plan.make import make_plan
from ci.plan.model import Plan
from support.planning import catalog, facts, registration, request

FP4, FP8, PLAIN = (f"test/registered/amd/test_{name}.py" for name in ("fp4", "fp8", "plain"))
ROWS = [registration(file) for file in (FP4, FP8, PLAIN)]


def with_envs(**sets: tuple[str, ...]) -> Catalog:
    files = {"fp4": FP4, "fp8": FP8}
    rows = tuple(TestEnv(test=files[name], sets=names, why="w") for name, names in sets.items())
    return replace(catalog(), test_envs=rows)


QUARTET = with_envs(
    fp4=("deepseek_v4.COMMON_ENV_VARS", "deepseek_v4.FP4_ENV_VARS"),
    fp8=("deepseek_v4.COMMON_ENV_VARS", "deepseek_v4.FP8_ENV_VARS"),
)


def plan(rows: Catalog = QUARTET, **changes: Any) -> Plan:
    return make_plan(rows, facts(ROWS), request(**changes))


def env_of(made: Plan, test: str) -> dict[str, str]:
    return dict(next(one.env for one in made.work.suites[0].tests if one.id == test))


def test_a_test_has_only_what_differs_from_its_suite() -> None:
    made = plan()
    fp4, fp8 = env_of(made, FP4), env_of(made, FP8)
    assert env_of(made, PLAIN) == {}
    assert fp4.keys() == fp8.keys()
    assert {name for name in fp4 if fp4[name] != fp8[name]} == {"SGLANG_DSV4_FP4_EXPERTS"}
    assert "SGLANG_USE_AITER" not in fp4, "the suite says the same"
    assert fp4.keys().isdisjoint(made.work.suites[0].env)


def test_each_value_has_its_source_and_a_difference_names_the_test() -> None:
    made = plan()
    path = f"work.suites.1-gpu-small.tests.{FP4}.env.SGLANG_DSV4_FP4_EXPERTS"
    assert made.sources[path].startswith("deepseek_v4.FP4_ENV_VARS: ")
    changed = plan(
        with_envs(
            fp4=("deepseek_v4.COMMON_ENV_VARS", "deepseek_v4.FP8_ENV_VARS"), fp8=QUARTET.test_envs[1].sets
        )
    )
    (row,) = compare(made, changed)
    assert (row.path, row.left, row.right) == (path, "true", "false")
    assert row.left_source.startswith("deepseek_v4.FP4_ENV_VARS")
    assert made.digest != changed.digest


def test_what_is_asked_for_lies_over_everything() -> None:
    made = plan(env=(("SGLANG_DSV4_FP4_EXPERTS", "maybe"),))
    assert "SGLANG_DSV4_FP4_EXPERTS" not in env_of(made, FP4)
    assert made.work.suites[0].env["SGLANG_DSV4_FP4_EXPERTS"] == "maybe"


def test_a_variable_of_the_shell_that_only_a_test_sets_is_said_to_be_ignored() -> None:
    world = facts(ROWS, environ={"SGLANG_DSV4_FP4_EXPERTS": "maybe"})
    notes = make_plan(QUARTET, world, request()).notes
    assert "SGLANG_DSV4_FP4_EXPERTS of your shell is ignored: deepseek_v4.FP4_ENV_VARS says 'true'" in notes


def test_sets_of_one_test_may_not_disagree() -> None:
    with pytest.raises(UsageError) as caught:
        plan(with_envs(fp4=("deepseek_v4.FP4_ENV_VARS", "deepseek_v4.FP8_ENV_VARS")))
    assert f"layer test {FP4}: SGLANG_DSV4_FP4_EXPERTS" in caught.value.render()


def test_another_tree_keeps_the_environment_of_its_own_code() -> None:
    world = facts(ROWS, checkout=Known(value="b" * 40, source="git"))
    assert env_of(make_plan(QUARTET, world, request()), FP4) == {}


def test_the_agent_is_told() -> None:
    spec = make_spec(plan(), run="r", run_dir="/r", token="t", known_features=())
    told = {test["id"]: test["env"] for test in spec["suites"][0]["tests"]}
    assert told[PLAIN] == {}
    assert told[FP4]["SGLANG_DSV4_FP4_EXPERTS"] == "true"


def test_sets_that_do_not_exist_are_all_named_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(CATALOG_DIR, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (folder / "environment.toml").open("a") as file:
        for name in ("one", "two"):
            file.write(
                f'\n[[test_env]]\ntest = "test/{name}.py"\nsets = ["deepseek_v4.{name.upper()}"]\nwhy = "w"\n'
            )
    with pytest.raises(UsageError) as caught:
        load_catalog(folder)
    assert caught.value.exit_code == 2
    text = caught.value.render()
    for name in ("one", "two"):
        assert f"test_env[test/{name}.py]: names env set 'deepseek_v4.{name.upper()}'" in text


class TestSession:
    """`nox -s envs` with the paths of our own tests."""

    def test_two_tests_are_compared(self, capsys: pytest.CaptureFixture[str]) -> None:
        names = [f"test_deepseek_v4_{name}.py" for name in ("flash_fp4", "pro_fp8")]
        assert main(["envs", "diff", *names, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert rows == [{"name": "SGLANG_DSV4_FP4_EXPERTS", "left": "true", "right": "false"}]

    def test_a_test_is_shown_whole_with_what_each_set_gave(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["envs", "show", "test_deepseek_v4_flash_fp4.py", "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out).values()
        assert shown["SGLANG_HACK_FLASHMLA_BACKEND"]["source"] == "deepseek_v4.COMMON_ENV_VARS"
        assert shown["SGLANG_TEST_MAX_RETRY"]["source"] == "base.BASE"

    def test_a_test_that_is_not_there_is_a_usage_error_with_the_nearest(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["envs", "show", "test/registered/amd/test_deepseek_v4_flash_fp5.py"]) == 2
        assert "test_deepseek_v4_flash_fp4.py" in capsys.readouterr().err
