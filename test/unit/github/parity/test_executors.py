"""One plan on the host, in a container, in slots and on a cluster: equal digests, or only what follows from image and jobs."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.catalog.parity import DecidedBy
from ci.cli.parity import read_side
from ci.errors import UsageError
from ci.github.matrix import suites_of
from ci.github.parity.compare import PlanOf, Side
from ci.github.parity.executors import Pair, compare_executors, with_clusters
from ci.github.parity.plans import planner
from ci.plan.model import Plan
from support.parity import machine
from support.planning import catalog

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # git says the commit of the plans


@cache
def rows() -> Catalog:
    return with_clusters(catalog())


@cache
def plan_of() -> PlanOf:
    return planner(rows(), machine(), read_side)


def pairs(of: Catalog | None = None, plans: PlanOf | None = None) -> tuple[Pair, ...]:
    """Of one suite: the comparison does the same for each."""
    here = of or rows()
    suites = [row for row in suites_of(here, here.actions.of_kind("tests")[0]) if row.stage == "stage-a-amd"]
    return compare_executors(here, suites, plans or plan_of())


def changed_on_a_cluster(change: Callable[[Plan], Plan]) -> PlanOf:
    def plan(side: Side) -> Plan | None:
        made = plan_of()(side)
        there = made is not None and made.placement.executor is ExecutorKind.SLURM
        return change(made) if made is not None and there else made

    return plan


def test_where_image_and_jobs_are_equal_so_is_the_digest() -> None:
    found = pairs()
    same = [pair for pair in found if not pair.by]
    assert {(pair.left, pair.right) for pair in same} >= {
        ("host", "slurm with host"),
        ("host, --jobs gpus", "slurm with host, --jobs gpus"),
        ("docker", "slurm with docker"),
        ("docker, --jobs gpus", "slurm with docker, --jobs gpus"),
    }
    assert all(pair.equal and not pair.apart for pair in same)
    assert {pair.hardware for pair in same} >= {"cpu"}
    assert len({pair.hardware for pair in same}) > 1


def test_elsewhere_only_what_follows_from_image_and_jobs_differs() -> None:
    found = {(pair.left, pair.right): pair for pair in pairs() if pair.by}
    assert not any(pair.equal or pair.faults for pair in found.values())
    image = found["host", "slurm with docker"]
    assert image.by == (DecidedBy.IMAGE,)
    assert "work.image" in {one.path for one in image.apart}
    jobs = found["docker", "slurm with docker, --jobs gpus"]
    assert jobs.by == (DecidedBy.JOBS,)
    assert {"work.jobs", "work.container.options.shm_bytes"} <= {one.path for one in jobs.apart}


@pytest.mark.parametrize(
    ("field", "value"),
    [("fail_fast", True), ("commit", "b" * 40), ("pytest_args", ("-x",)), ("skipped_suites", ("x",))],
)
def test_a_field_that_is_another_on_a_cluster_is_a_fault_that_names_both(field: str, value: Any) -> None:
    plans = changed_on_a_cluster(lambda plan: replace(plan, work=replace(plan.work, **{field: value})))
    faulty = [pair for pair in pairs(plans=plans) if pair.faults]
    assert faulty
    assert all("slurm" in pair.right for pair in faulty)
    assert {one.path for pair in faulty for one in pair.faults} == {f"work.{field}"}
    one = faulty[0].faults[0]
    assert one.left != one.right


def test_a_test_that_is_lost_on_a_cluster_is_a_fault() -> None:
    def lose(plan: Plan) -> Plan:
        (suite,) = plan.work.suites
        return replace(plan, work=replace(plan.work, suites=(replace(suite, tests=suite.tests[1:]),)))

    assert any(pair.faults for pair in pairs(plans=changed_on_a_cluster(lose)) if not pair.by)


def test_a_suite_that_cannot_be_planned_on_a_cluster_is_a_fault() -> None:
    def refuse(side: Side) -> Plan | None:
        if ExecutorKind.SLURM in side.options:
            raise UsageError("the cluster cannot run this")
        return plan_of()(side)

    faults = {one.right for pair in pairs(plans=refuse) for one in pair.faults}
    assert faults == {"the cluster cannot run this"}


def test_a_suite_that_can_be_planned_nowhere_is_a_fault() -> None:
    def refuse(_side: Side) -> Plan | None:
        raise UsageError("no such suite")

    found = pairs(plans=refuse)
    assert found
    assert all(pair.faults for pair in found)


def test_without_its_row_a_field_that_follows_is_a_fault() -> None:
    rules = rows().parity
    fewer = replace(rules, follows=tuple(row for row in rules.follows if row.path != "work.sharing*"))
    faults = {one.path for pair in pairs(replace(rows(), parity=fewer)) for one in pair.faults}
    assert faults
    assert all(path.startswith("work.sharing") for path in faults)


def test_a_runtime_that_was_never_run_is_not_compared() -> None:
    assert not any("apptainer" in pair.right for pair in pairs())
    assert not any(row.runtime == "apptainer" for name, row in rows().clusters.items() if "parity" in name)
