"""The facts of this machine: where an engine is looked for, and what a container on it can get."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.catalog.executors import ExecutorKind
from ci.errors import UsageError
from ci.facts.container_host import count_render_nodes
from ci.facts.gather import Place, gather_machine
from ci.facts.gpus import Gpu
from ci.facts.hardware import Hardware
from ci.plan.draft import draft_plan
from ci.plan.facts import EngineFact, Facts
from ci.plan.request import Request
from support.planning import request

ENGINE = EngineFact(python="/opt/python3", python_version="3.10.1", engine_version="0.5", source="test")

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # git says the commit


class Box:
    """A machine with eight GPUs; `looked` are the engines that were looked for, `engine` is what is found."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.engine: EngineFact | None = None
        self.looked: list[str] = []

    def find(self, engine: Engine, **_: object) -> EngineFact | None:
        self.looked.append(engine.id)
        return self.engine

    def facts(self, asked: Request, *, planning_only: bool) -> Facts:
        place = Place(planning_only=planning_only)
        return gather_machine(self.catalog, asked, place, {"PATH": "/usr/bin"})

    def executor(self, *, planning_only: bool) -> ExecutorKind:
        return draft_plan(
            self.catalog, self.facts(request(), planning_only=planning_only), request()
        ).needs.executor


@pytest.fixture
def box(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box(catalog)
    gpus = tuple(Gpu(id=str(number), index=number) for number in range(8))
    hardware = Hardware(cls="mi300x", gpus=gpus, source="test", notes=())
    monkeypatch.setattr("ci.facts.gather.find_hardware", lambda *_: hardware)
    monkeypatch.setattr("ci.facts.gather.find_engine", made.find)
    monkeypatch.setattr("ci.facts.gather.count_render_nodes", lambda: 8)
    return made


@pytest.mark.parametrize(("engine", "executor"), [(None, ExecutorKind.DOCKER), (ENGINE, ExecutorKind.HOST)])
def test_a_dry_run_is_of_the_executor_that_the_run_takes(
    box: Box, engine: EngineFact | None, executor: ExecutorKind
) -> None:
    box.engine = engine
    assert {box.executor(planning_only=True), box.executor(planning_only=False)} == {executor}


@pytest.mark.parametrize(
    "asked",
    [
        request(executor=ExecutorKind.DOCKER),
        request(executor=ExecutorKind.HOST),
        request(hardware="mi355x"),
        request(hardware="mi300x", compared=True),
    ],
)
def test_no_interpreter_is_requested_a_plan_that_does_not_depend_on_it(box: Box, asked: Request) -> None:
    facts = box.facts(asked, planning_only=True)
    assert box.looked == []
    assert not any(engine.found for engine in facts.engines.values())


def test_a_run_looks_for_the_named_engine_alone(box: Box) -> None:
    box.facts(request(executor=ExecutorKind.HOST, engine="sglang"), planning_only=False)
    box.facts(request(executor=ExecutorKind.HOST, engine="unknown"), planning_only=False)
    assert box.looked == ["sglang", "sglang"]


def test_a_plan_can_be_for_another_class_and_a_run_cannot(box: Box) -> None:
    facts = box.facts(request(hardware="mi355x"), planning_only=True)
    assert (facts.hardware_class, facts.elsewhere, len(facts.gpu_ids)) == ("mi355x", True, 8)
    with pytest.raises(UsageError, match="this machine is mi300x"):
        box.facts(request(hardware="mi355x"), planning_only=False)
    with pytest.raises(UsageError, match="unknown hardware class 'mi300'"):
        box.facts(request(hardware="mi300"), planning_only=True)


def test_render_nodes_are_those_of_the_pods_share_that_exist(tmp_path: Path) -> None:
    for name in ("dev/dri/renderD128", "dev/dri/renderD129", "dev/dri/card0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert count_render_nodes(tmp_path) == 2
    share = tmp_path / "etc/podinfo/gha-render-devices"
    share.parent.mkdir(parents=True)
    share.write_text("--device /dev/dri/renderD129 --device /dev/dri/renderD140\n")
    assert count_render_nodes(tmp_path) == 1


def test_a_rehearsal_looks_at_no_gpu(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("the hardware was looked at")

    monkeypatch.setattr("ci.facts.gather.find_hardware", refuse)
    found = box.facts(request(hardware="cpu"), planning_only=True)
    assert (found.hardware_class, found.hardware_source, found.gpu_ids) == ("cpu", "--hardware cpu", ())
    assert not found.elsewhere


def test_an_unknown_class_of_hardware_gets_the_nearest(box: Box) -> None:
    with pytest.raises(UsageError, match="unknown hardware class 'mi300'") as caught:
        box.facts(request(hardware="mi300"), planning_only=False)
    assert "mi300x" in caught.value.cause
