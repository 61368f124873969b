"""The repository's catalog plans: every event, suite, shard, hardware class and pool, on machines that are made up."""

import pytest

from ci.catalog.executors import ExecutorKind
from ci.catalog.hardware import CPU
from ci.catalog.stages import Suite
from ci.errors import NothingSelectedError
from ci.github.matrix import Ask, make_waves, stage_waves, suites_of
from ci.plan.facts import Facts, Known
from ci.plan.jobs import Reason, everything
from ci.plan.model import Plan, TestWork
from ci.plan.registry import EXECUTORS
from ci.plan.route import pools_with_a_choice
from ci.plan.shards import Shard
from support.catalog_files import repository_catalog
from support.containers import docker_facts, image
from support.planning import facts, planned, registration, request

pytestmark = pytest.mark.live_rows
EVENTS = ("local", "pull_request", "schedule", "workflow_dispatch", "push")


def machine(suite: Suite, hardware_class: str, event: str) -> Facts:
    """One of a class with as many GPUs as the suite needs, and a tree that has a test for each shard and one more."""
    tests = [
        registration(f"test/registered/made_up/test_{number}.py", suite.name, nightly=suite.nightly)
        for number in range(suite.shards + 1)
    ]
    gpus = 0 if hardware_class == CPU else suite.gpus
    return facts(
        tests,
        hardware_class=hardware_class,
        gpu_ids=tuple(map(str, range(gpus))),
        render_nodes=gpus,
        fixed_files=frozenset(suite.files),
        event=Known(value=event, source="test"),
    )


def plan(suite: Suite, hardware_class: str, event: str, shard: Shard | None, executor: ExecutorKind) -> Plan:
    here = machine(suite, hardware_class, event)
    found = None
    if executor is ExecutorKind.DOCKER:
        rocm = "" if hardware_class == CPU else suite.rocm
        default = next(name for name, row in repository_catalog().images.flavours.items() if row.default)
        flavour = "rehearsal" if hardware_class == CPU else f"rocm{rocm}" if rocm else default
        found = docker_facts(image(flavour=flavour), flavour=flavour)
    asked = request(suite.stage, suites=(suite.id,), shard=shard, executor=executor, image="x:y")
    return planned(repository_catalog(), here, asked, found)


# those on a cluster plan with one of these for its nodes
@pytest.mark.parametrize("executor", [kind for kind in ExecutorKind if not EXECUTORS[kind].ON_CLUSTER])
@pytest.mark.parametrize("event", EVENTS)
def test_every_suite_and_shard_plans_on_every_class(event: str, executor: ExecutorKind) -> None:
    catalog = repository_catalog()
    for suite in catalog.suites:
        shards = [Shard(index=number, count=suite.shards) for number in range(1, suite.shards + 1)]
        for hardware_class in catalog.hardware.classes:
            if hardware_class != CPU and catalog.family_of(hardware_class) != suite.family:
                with pytest.raises(NothingSelectedError, match="nothing"):
                    plan(suite, hardware_class, event, None, executor)
                continue
            whole = plan(suite, hardware_class, event, None, executor).work.suites[0]
            parts = [plan(suite, hardware_class, event, shard, executor).work.suites[0] for shard in shards]
            ids = [test.id for part in parts for test in part.tests]
            assert sorted(ids) == sorted(test.id for test in whole.tests)
            assert whole.timeout_s == sum(part.timeout_s for part in parts)


@pytest.mark.parametrize("event", EVENTS)
def test_every_suite_has_a_runner_of_its_family_for_every_event_and_pool(event: str) -> None:
    catalog = repository_catalog()
    hardware = {label.label: catalog.pools[label.pool].hardware for label in catalog.labels}
    for workflow in catalog.actions.of_kind("tests"):
        suites = suites_of(catalog, workflow)
        choices = everything(suites, Reason(file="", rule="test", why="everything")).choices
        tests = {
            suite.name: [made_up(f"test_{number}.py") for number in range(suite.shards)] for suite in suites
        }
        for pool in ("", *pools_with_a_choice(catalog)):
            asked = Ask(event=event, at_once=False, pool=pool, rocm="", continue_on_error=False)
            made = make_waves(catalog, choices, tests, stage_waves(catalog, workflow), asked, lambda *_: "")
            assert len(made.jobs) == sum(suite.shards for suite in suites)
            for job in made.jobs:
                suite = next(one for one in suites if job.name.startswith(f"{one.name} ("))
                assert hardware[job.runner] == job.hardware
                assert catalog.family_of(job.hardware) == suite.family


def made_up(name: str) -> TestWork:
    return TestWork(id=name, path=name, kind="pytest", cases=(), est_s=60, timeout_s=60, env={})
