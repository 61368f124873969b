"""`./inv doctor`: one finding per thing, and a failure of one hides no other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.errors import InfrastructureError, UsageError
from ci.facts.doctor import Finding, examine
from ci.facts.hardware import Hardware
from ci.plan.container.needs import ContainerFacts, Device
from ci.plan.facts import EngineFact, Known, PartitionFact, SlurmFacts
from support.containers import CACHE, docker_facts, image

T = TypeVar("T")
CONTAINER = docker_facts(image()).container


class Machine:
    """What the doctor is told of a machine; an exception stands for what could not be found out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.hardware: Hardware | Exception = Hardware(cls="cpu", gpus=(), source="no KFD", notes=("a note",))
        self.container: ContainerFacts | Exception = replace(CONTAINER, devices=(), mounts=())
        self.slurm = SlurmFacts(problem="no answer from Slurm")
        self.engines: dict[str, EngineFact | Exception | None] = {}
        self.commit = Known(value="c" * 40, source="git")
        self.platform: Exception | None = None
        self.profiles: list[str] = []
        self.runs = tmp_path / "not" / "yet"
        for name, double in {
            "find_hardware": lambda _catalog, _environ: _given(self.hardware),
            "find_engine": self._engine,
            "gather_container_facts": self._container,
            "look_at_slurm": lambda _catalog, _environ: self.slurm,
            "commit_of": lambda _root: self.commit,
            "require_rehearsal_platform": self._platform,
        }.items():
            monkeypatch.setattr(f"ci.facts.doctor.{name}", double)

    def _engine(self, engine: Engine, **_how: Any) -> EngineFact | None:
        return _given(self.engines.get(engine.id))

    def _container(self, _catalog: Catalog, profile: Any, _environ: Any) -> ContainerFacts:
        self.profiles.append(profile.id)
        return _given(self.container)

    def _platform(self) -> None:
        if self.platform is not None:
            raise self.platform

    def examine(self, catalog: Catalog) -> Mapping[str, Finding]:
        return {row.name: row for row in examine(catalog, {"AMD_CI_RUNS": str(self.runs)})}


def _given(value: T | Exception) -> T:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


NAMES = ["hardware", "rehearsal", "engine llamacpp", "engine sglang", "commit", "run folders"]


def test_a_laptop_that_rehearses_on_the_host_is_well(machine: Machine, catalog: Catalog) -> None:
    found = machine.examine(catalog)
    assert sorted(found) == sorted([*NAMES, "docker", "container", "mirror", "slurm"])
    assert found["slurm"].ok is None
    assert found["hardware"].text == "cpu, 0 GPUs (no KFD); a note"
    assert found["rehearsal"].ok is True
    assert found["commit"].text == f"{'c' * 40} (git)"
    assert found["engine llamacpp"].ok is None, "the session makes an environment with it"
    assert found["engine sglang"].ok is False
    assert "no python3 on the PATH has sglang" in found["engine sglang"].text
    assert found["mirror"].ok is None
    assert str(machine.runs.parent.parent) in found["run folders"].text, "the nearest folder that exists"


def test_what_fails_is_its_own_finding_and_the_rest_is_looked_at(machine: Machine, catalog: Catalog) -> None:
    machine.hardware = UsageError("KFD and the label disagree", then="fix the row")
    machine.platform = InfrastructureError("this CPU has no AVX2")
    machine.engines = {"sglang": InfrastructureError("it has no pytest")}
    machine.commit = Known(value="", source="unknown, because git refused")
    found = machine.examine(catalog)
    assert {name for name, row in found.items() if row.ok is False} == {
        "hardware",
        "rehearsal",
        "engine sglang",
        "commit",
        "container",
    }
    assert "fix the row" in found["hardware"].text
    assert found["rehearsal"].text == "this CPU has no AVX2"
    assert found["engine sglang"].text == "it has no pytest"
    assert found["container"].text == "KFD and the label disagree"
    assert found["run folders"].ok is not None


def test_no_container_is_well_without_docker(machine: Machine, catalog: Catalog) -> None:
    machine.container = replace(CONTAINER, devices=(), mounts=(), problem="the engine does not answer")
    found = machine.examine(catalog)
    assert (found["docker"].ok, found["container"].ok) == (False, None)
    assert found["container"].text.endswith("without Docker there is none")


def test_an_engine_that_is_found_is_named_with_version_and_interpreter(
    machine: Machine, catalog: Catalog
) -> None:
    fact = EngineFact(python="/opt/python3", python_version="3.10", engine_version="0.5", source="x")
    machine.engines = {"sglang": fact}
    found = machine.examine(catalog)["engine sglang"]
    assert (found.ok, found.text) == (True, "sglang 0.5 in /opt/python3")


@pytest.mark.parametrize(
    ("cluster", "partition", "ok", "text"),
    [
        ("laptop", "ci", True, "runtime host; partitions: ci (2 nodes, at most 60 min)"),
        ("laptop", "other", False, "the row's ci does not exist"),
        ("new", "ci", False, 'add it: [[cluster]] name = "new"'),
    ],
)
def test_the_cluster_of_this_machine_and_its_row(
    machine: Machine,
    catalog: Catalog,
    cluster: str,
    partition: str,
    ok: bool,  # noqa: FBT001  # a parameter
    text: str,
) -> None:
    row = PartitionFact(name=partition, default=True, up=True, limit_min=60, nodes=2)
    machine.slurm = SlurmFacts(here=cluster, version="22.05.8", partitions=(row,))
    found = machine.examine(catalog)["slurm"]
    assert found.ok is ok
    assert text in found.text
    assert f"Slurm 22.05.8, cluster {cluster}" in found.text


class TestContainers:
    def test_it_is_the_profile_of_the_hardware_with_what_it_gets_and_lacks(
        self, machine: Machine, catalog: Catalog
    ) -> None:
        machine.hardware = Hardware(cls="mi300x", gpus=(), source="KFD", notes=())
        machine.container = replace(
            CONTAINER,
            devices=(Device(path="/dev/kfd", gid=1),),
            mounts=(CACHE,),
            absent=("/dev/dri",),
            cache_free_bytes=3 << 30,
            nofile_max=None,
            mirror="lan:5000",
            mirror_source="row",
        )
        found = machine.examine(catalog)
        assert machine.profiles == ["standard"]
        assert found["container"] == Finding(
            name="container",
            ok=True,
            text="profile standard: /dev/kfd, /srv/cache as /cache, 3.0 GiB free in the cache; lacks /dev/dri",
        )
        assert found["docker"].ok is True
        assert "a container may open unknown files" in found["docker"].text
        assert found["mirror"] == Finding(name="mirror", ok=True, text="lan:5000 (row)")

    def test_a_machine_with_gpus_whose_devices_are_absent_is_not_well(
        self, machine: Machine, catalog: Catalog
    ) -> None:
        machine.hardware = Hardware(cls="mi300x", gpus=(), source="KFD", notes=())
        machine.container = replace(CONTAINER, devices=(), mounts=(), cache_free_bytes=None)
        assert machine.examine(catalog)["container"].ok is False

    def test_an_engine_that_does_not_answer_is_named(self, machine: Machine, catalog: Catalog) -> None:
        machine.container = replace(CONTAINER, problem="it does not answer")
        found = machine.examine(catalog)["docker"]
        assert (found.ok, found.text) == (False, "it does not answer")
