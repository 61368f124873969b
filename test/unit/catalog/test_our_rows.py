"""What the repository's own rows have to keep, whatever values they have: a maintainer's correct edit breaks none of these."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import discover
from ci.facts.hardware import detect
from ci.github.workflows.lint import lint_workflows
from ci.plan.container.inside import stage_of
from ci.plan.jobs import fits
from support.catalog_files import repository_catalog
from support.machines import Tools

pytestmark = pytest.mark.live_rows
REPOSITORY = Path(__file__).parents[3]
DEEPSEEK_V4 = sorted((REPOSITORY / "test/registered/amd").glob("test_deepseek_v4_*.py"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return repository_catalog()


class TestHardware:
    def test_names_and_sizes_tell_the_classes_apart(self, catalog: Catalog) -> None:
        classes = catalog.hardware.classes.values()
        for device in catalog.hardware.devices.values():
            named = [cls.id for cls in classes if cls.has_name(f"AMD Instinct {device.name}")]
            assert named == ([device.cls] if device.cls else [])
        for cls in classes:
            fits_size = [other.id for other in classes if other.has_vram(cls.vram_gib)]
            assert fits_size == ([] if cls.id == "cpu" else [cls.id])

    def test_a_runner_label_that_names_hardware_names_that_of_its_pool(self, catalog: Catalog) -> None:
        for row in catalog.labels:
            found = detect(
                sysfs=Path("/nonexistent"), run=Tools(), label=row.label, visible={}, catalog=catalog.hardware
            )
            if found.cls != "cpu":
                assert (found.cls, len(found.gpus)) == (catalog.pools[row.pool].hardware, row.gpus)


class TestImages:
    def test_the_stages_of_the_dockerfile_have_one_name_in_both_tables(self, catalog: Catalog) -> None:
        rows = catalog.dependencies
        assert set(catalog.images.flavours) <= set(rows.flavours)
        for row in catalog.images.targets:
            assert stage_of(rows, flavour=row.flavour, family=row.family) == row.gpu_arch

    def test_no_step_may_replace_torch_or_triton(self, catalog: Catalog) -> None:
        announced = {name for step in catalog.dependencies.steps for name in step.announces}
        protected = {row.distribution for row in catalog.guards.protected}
        assert {"torch", "triton"} <= protected
        assert announced <= protected - {"torch", "triton"}


def test_every_file_of_this_repository_has_a_rule(catalog: Catalog) -> None:
    """What selects everything here does so by a rule, not by being forgotten."""
    listed = [
        path.relative_to(REPOSITORY).as_posix()
        for top in ("ci", "envs", "test", "requirements", "docs", ".github", ".ci")
        for path in (REPOSITORY / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    patterns = [pattern for rule in catalog.changes.of_tree("own") for pattern in rule.paths]
    assert [path for path in listed if not any(fits(pattern, path) for pattern in patterns)] == []


class TestWorkflows:
    def test_tools_have_the_versions_that_are_pinned(self, catalog: Catalog) -> None:
        pins = (REPOSITORY / "requirements/test.txt").read_text()
        for tool, version in catalog.actions.tools.items():
            assert f"\n{tool}=={version} " in pins, (
                f"actions.toml: tool[{tool}] is not what requirements/ has"
            )

    def test_ci_runs_the_sessions_of_the_local_script_and_all_of_them_exist(self, catalog: Catalog) -> None:
        script = (REPOSITORY / ".ci/run").read_text()
        blocks = re.findall(r"^ +block [1-9]\d* (.*?)(?: #.*)?$", script, flags=re.MULTILINE)
        named = {word for block in blocks for word in shlex.split(block) if not word.startswith("$")}
        sessions = {own.session for own in catalog.actions.own}
        assert {name.partition("(")[0] for name in named} == sessions
        noxfile = (REPOSITORY / "noxfile.py").read_text()
        assert sessions <= set(re.findall(r"^def (\w+)\(session", noxfile, flags=re.MULTILINE))

    def test_our_own_lint_finds_nothing(self, catalog: Catalog) -> None:
        assert lint_workflows(catalog) == []


class TestDeepSeekV4:
    """The variants are compared with each other: they differ in model, experts and size, and in nothing else."""

    def test_all_are_launched_with_the_same_arguments(self) -> None:
        assert len({load(path).SERVER.args for path in DEEPSEEK_V4}) == 1

    def test_each_has_a_model_and_a_variable_of_its_own(self) -> None:
        servers = [load(path).SERVER for path in DEEPSEEK_V4]
        assert len({server.model for server in servers}) == len(servers)
        assert len({server.path_variable for server in servers}) == len(servers)

    def test_environments_differ_in_the_experts_alone(self, catalog: Catalog) -> None:
        sets = {row.test: row.sets for row in catalog.test_envs}
        environments: dict[str, dict[str, str]] = {}
        for path in DEEPSEEK_V4:
            names = sets[path.relative_to(REPOSITORY).as_posix()]
            environments[path.stem] = {
                variable.name: variable.value
                for name in names
                for variable in catalog.env_sets[name].variables
            }
        differing = {
            name for one in environments.values() for two in environments.values() for name in one.keys() | two.keys()
            if one.get(name) != two.get(name)
        }  # fmt: skip
        assert differing == {"SGLANG_DSV4_FP4_EXPERTS"}
        for stem, values in environments.items():
            assert values["SGLANG_DSV4_FP4_EXPERTS"] == ("true" if stem.endswith("fp4") else "false")

    def test_each_is_registered_for_a_nightly_suite_that_outlasts_it(self, catalog: Catalog) -> None:
        suites = {suite.name: suite for suite in catalog.suites}
        found = discover(REPOSITORY, catalog.discovery).registrations
        for path in DEEPSEEK_V4:
            (row,) = [row for row in found if row.file == path.relative_to(REPOSITORY).as_posix()]
            suite = suites[row.suite]
            assert row.nightly is suite.nightly is True
            assert row.est_time_s <= suite.timeout_per_file_s


def load(path: Path) -> Any:
    """A registered test as a module; nothing of it runs."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
