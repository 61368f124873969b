"""What a plan's engine needs is made before the run, or refused with the cause; nothing half-made stays."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import ExitCode, InfrastructureError, UsageError
from ci.execute.engine_build import make_engine, size_to_ask_about
from ci.facts.engine_build import find_engine_build
from ci.nox.environments import Interpreter
from ci.plan.facts import Known
from ci.plan.model import Plan
from support.catalog_files import repository_catalog
from support.engine_programs import engine_python, uv_that_fails, uv_that_makes
from support.planning import catalog as rows_of_tests
from support.planning import facts, planned, registration, request

pytestmark = [pytest.mark.live_rows, pytest.mark.processes]


class Machine:
    """A machine with an empty cache, programs in the place of uv and Python 3.12, and a checkout."""

    def __init__(self, folder: Path) -> None:
        self.catalog: Catalog = repository_catalog()
        self.cache = folder / "cache"
        self.programs = folder / "programs"
        self.python = engine_python(self.programs)
        self.uv = uv_that_makes(self.programs, self.python)
        self.checkout = folder / "tree"
        transformers = next(iter(self.catalog.sglang.trees))
        (self.checkout / "python").mkdir(parents=True)
        (self.checkout / "python" / "pyproject.toml").write_text(
            f'[project]\nname = "sglang"\ndependencies = ["transformers=={transformers}"]\n'
            '[project.scripts]\nsglang = "sglang.cli.main:main"\n'
        )
        self.told: list[str] = []

    @property
    def environ(self) -> Mapping[str, str]:
        home = str(self.programs)
        return {"UV": str(self.uv), "PATH": "/usr/bin:/bin", "HOME": home, "AMD_CI_CACHE": str(self.cache)}

    def plan(self, *, checkout: bool = False) -> Plan:
        build, fact = find_engine_build(
            self.catalog,
            self.catalog.engines["sglang"],
            checkout=self.checkout if checkout else None,
            version="",
            python="",
            planning_only=False,
            environ=self.environ,
        )
        found = facts(
            [registration("test/registered/a.py")],
            engine_build=build,
            engines={"sglang": fact},
            root=str(self.checkout),
            checkout=Known(value="c" * 40, source="git") if checkout else None,
        )
        return planned(rows_of_tests(), found, request(engine="sglang"))

    def make(self, plan: Plan) -> Plan:
        return make_engine(
            self.catalog, plan, self.environ, show=lambda _progress: None, tell=self.told.append
        )

    def made(self) -> set[str]:
        """The kinds of what was made."""
        return {path.name.split("-")[0] for path in (self.cache / "engines").glob("*/")}

    def examined(self) -> list[str]:
        asked = Path(f"{self.python}.asked")
        return asked.read_text().splitlines() if asked.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    # whichever Python runs these tests, it is none that the engine's environment is made with
    ours = Interpreter(executable=Path(sys.executable), version="3.11.7", abi="")
    monkeypatch.setattr("ci.nox.environments.running", lambda: ours)
    return Machine(tmp_path)


def test_environment_weights_and_names_are_made_once_and_the_base_is_asked_about(machine: Machine) -> None:
    plan = machine.plan()
    assert "GiB on disk" in size_to_ask_about(machine.catalog, plan, machine.environ)
    place = machine.make(plan).placement.engine_build
    assert machine.made() == {"sglang", "weights", "hub"}
    assert place
    assert all(Path(folder).is_dir() for folder in place.folders), "what a container sees"
    assert {Path(folder).name.split("-")[0] for folder in place.folders} >= {"sglang", "hub"}
    assert size_to_ask_about(machine.catalog, plan, machine.environ) == ""
    machine.uv = uv_that_fails(machine.programs, "error: not to be called")
    machine.make(plan)
    assert not machine.examined(), "a release is not imported before the run"


def test_a_checkouts_sglang_is_imported_before_the_run(machine: Machine) -> None:
    machine.make(machine.plan(checkout=True))
    assert machine.examined() == [f"{machine.checkout}/python"]


def test_a_checkout_whose_sglang_cannot_be_imported_is_exit_4_with_the_missing_module(
    machine: Machine,
) -> None:
    engine_python(machine.programs, error="ModuleNotFoundError: No module named extra (a.py:3)")
    with pytest.raises(InfrastructureError, match="No module named extra") as raised:
        machine.make(machine.plan(checkout=True))
    assert raised.value.exit_code == ExitCode.INFRASTRUCTURE
    assert raised.value.what.startswith(f"--checkout {machine.checkout}: ")
    assert raised.value.then.startswith(f"PYTHONPATH={machine.checkout}/python ")


def test_no_python_of_that_version_is_exit_4_with_the_command(machine: Machine) -> None:
    machine.uv = uv_that_makes(machine.programs, None)
    minor = machine.catalog.sglang.base.python
    with pytest.raises(InfrastructureError, match=f"Python {minor} is not available") as raised:
        machine.make(machine.plan())
    assert raised.value.then.startswith(f"uv python install {minor}")
    assert machine.made() == set()


def test_no_network_is_exit_4_and_leaves_nothing(machine: Machine) -> None:
    plan = machine.plan()
    machine.make(plan)
    for folder in (machine.cache / "engines").glob("sglang-*/"):
        (folder / "ready").unlink()
    machine.uv = uv_that_fails(machine.programs, "error: Failed to fetch\n  cause: dns error")
    machine.programs.joinpath(".pyenv/versions/3.12.1/bin").mkdir(parents=True)
    machine.programs.joinpath(".pyenv/versions/3.12.1/bin/python").symlink_to(machine.python)
    with pytest.raises(InfrastructureError) as raised:
        machine.make(plan)
    assert raised.value.cause.startswith("the package index was not reached")
    assert "network" in raised.value.then
    assert not list((machine.cache / "engines").glob(".making-*"))


def test_no_disk_is_exit_4_before_anything_is_downloaded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = machine.plan()
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=2**20))
    with pytest.raises(InfrastructureError, match=r"0\.0 GiB are free") as raised:
        machine.make(plan)
    assert raised.value.then.startswith("df -h ")
    assert machine.made() == set()


def test_a_plan_of_other_pins_is_refused_before_anything_is_made(machine: Machine) -> None:
    plan = machine.plan()
    assert plan.work.engine_build
    other = replace(plan.work, engine_build=replace(plan.work.engine_build, environment="0" * 64))
    with pytest.raises(UsageError, match="the pins differ") as raised:
        machine.make(replace(plan, work=other))
    assert raised.value.then.startswith("git checkout ")
    assert machine.made() == set()
