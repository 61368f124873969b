"""Planning runs on a cluster: what is asked of Slurm, and that the work is that of the nodes' executor."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import CiError, ExitCode, InfrastructureError, UsageError
from ci.plan import slurm
from ci.plan.draft import draft_plan
from ci.plan.facts import Facts, PartitionFact
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.plan.slurm_place import SlurmPlace
from support.containers import docker_facts, image
from support.planning import again, catalog, facts, mi300x, on_cluster, planned, registration, request

ROWS = [registration(f"test/registered/amd/test_{number}.py") for number in range(3)]
EIGHT = "stage-c-test-8-gpu-amd"


def asked(stage: str = "stage-a-amd", **changes: object) -> Request:
    return request(stage, executor=ExecutorKind.SLURM, **changes)


def placed(plan: Plan) -> SlurmPlace:
    assert plan.placement.slurm is not None
    return plan.placement.slurm


def partition(**changes: Any) -> PartitionFact:
    whole = PartitionFact(name="ci", default=True, up=True, limit_min=None, nodes=9)
    return replace(whole, **changes)


def require(here: Facts, options: Request) -> None:
    slurm.require(catalog(), here, draft_plan(catalog(), here, options).needs, None)


@pytest.mark.parametrize("changes", [{}, {"jobs": "2"}, {"fail_fast": True}, {"env": (("SGLANG_X", "1"),)}])
def test_the_work_is_that_of_the_host(changes: Mapping[str, Any]) -> None:
    there = planned(catalog(), on_cluster(ROWS, "laptop"), asked(**changes))
    here = planned(catalog(), facts(ROWS), request(executor=ExecutorKind.HOST, **changes))
    assert there.work == here.work
    assert there.digest == here.digest
    assert here.placement.slurm is None


def test_the_work_is_that_of_a_container_where_the_nodes_run_one() -> None:
    found = docker_facts(image())
    there = planned(catalog(), on_cluster(ROWS, "north"), asked(), found)
    here = planned(catalog(), mi300x(ROWS), request(executor=ExecutorKind.DOCKER), found)
    assert there.digest == here.digest
    assert there.placement.container is not None


def test_what_is_asked_of_slurm_is_the_row() -> None:
    plan = planned(catalog(), on_cluster(ROWS, "north"), asked(), docker_facts(image()))
    place = placed(plan)
    assert (place.partition, place.account, place.qos, place.constraint) == (
        "gpu",
        "sglang",
        "normal",
        "mi300x",
    )
    assert (place.gres, place.nodes, place.shared, place.requeue) == ("gpu:mi300x", 1, "/shared/runs", True)
    assert place.inner is ExecutorKind.DOCKER
    assert plan.sources["placement.slurm.cluster"] == "--cluster"
    limits = catalog().limits.slurm
    need_s = sum(suite.timeout_s for suite in plan.work.suites) + limits.start_s + limits.stop_before_s
    assert 0 <= 60 * place.time_limit_min - need_s < 60


@pytest.mark.parametrize(
    ("stage", "suite", "jobs", "gpus"),
    [
        ("stage-a-amd", "", "", 1),
        ("stage-a-amd", "", "3", 3),
        ("stage-a-amd", "", "gpus", 8),
        ("stage-c-amd", EIGHT, "2", 8),
    ],
)
def test_no_more_gpus_are_asked_for_than_the_tests_can_use(
    stage: str, suite: str, jobs: str, gpus: int
) -> None:
    rows = [registration("test/a.py", suite=suite)] if suite else ROWS
    plan = planned(catalog(), on_cluster(rows, "north"), asked(stage, jobs=jobs), docker_facts(image()))
    assert placed(plan).gpus_per_node == gpus
    assert plan.placement.gpu_ids == tuple(map(str, range(gpus)))


def test_a_rehearsal_on_nodes_with_gpus_asks_for_none() -> None:
    here = on_cluster(ROWS, "north", hardware_class="cpu", gpu_ids=())
    found = docker_facts(image(flavour="rehearsal"), flavour="rehearsal")
    place = placed(planned(catalog(), here, asked(hardware="cpu", image="x:y"), found))
    assert (place.gres, place.gpus_per_node) == ("", 0)


def test_nodes_are_the_rows_number_or_those_asked_for_up_to_its_most() -> None:
    here = on_cluster(ROWS, "laptop")
    assert placed(planned(catalog(), here, asked())).nodes == 2
    assert placed(planned(catalog(), here, asked(nodes=3))).nodes == 3
    with pytest.raises(UsageError, match="cluster laptop cannot run this") as caught:
        draft_plan(catalog(), here, asked(nodes=4, keep=True, image="x:y"))
    text = caught.value.render()
    assert "--nodes: 4 nodes, and cluster laptop has at most 3 (--nodes 3)" in text
    assert "--keep: has no effect with runtime host of cluster laptop" in text
    assert "--image: has no effect" in text


def test_a_runtime_that_was_never_run_says_so_everywhere_and_runs_no_steps() -> None:
    rows = [registration("test/a.py")]
    found = docker_facts(image())
    plan = planned(catalog(), on_cluster(rows, "south"), asked(), found)
    place = placed(plan)
    assert place.never_run
    assert place.inner is ExecutorKind.HOST
    assert any("NEVER BEEN RUN" in note for note in plan.notes)
    assert plan.work.container is not None
    assert plan.work.container.install.steps == ()
    assert plan.work.container.preflights == ()


@pytest.mark.parametrize(
    ("cluster", "option"),
    [
        ("south", "keep"),
        ("south", "exclusive_host"),
        ("south", "from_dockerfile"),
        # the image would be on the submitting machine alone
        ("north", "from_dockerfile"),
    ],
)
def test_an_option_that_a_runtime_has_no_use_for_is_refused(cluster: str, option: str) -> None:
    options: dict[str, Any] = {option: True}
    with pytest.raises(UsageError) as caught:
        draft_plan(catalog(), on_cluster(ROWS, cluster), asked(**options))
    assert f"--{option.replace('_', '-')}: has no effect with runtime" in caught.value.render()


@pytest.mark.parametrize(
    ("cluster", "options"),
    [("south", {"image": "x:y", "strict": True}), ("north", {"keep": True, "exclusive_host": True})],
)
def test_what_a_runtime_has_a_use_for_is_taken(cluster: str, options: Mapping[str, Any]) -> None:
    assert draft_plan(catalog(), on_cluster(ROWS, cluster), asked(**options)).needs.container is not None


class TestBeforeSubmission:
    @pytest.mark.parametrize(
        ("partitions", "expected"),
        [
            ([partition(name="gpu"), partition(name="long")], "ci does not exist; Slurm has gpu, long"),
            ([partition(up=False)], "ci is not up"),
            ([partition(limit_min=5)], "min, ci has MaxTime 5 min"),
            ([partition(nodes=1)], "the job needs 2 nodes, ci has 1"),
        ],
    )
    def test_a_job_that_slurm_would_refuse_or_never_start(
        self, partitions: list[PartitionFact], expected: str
    ) -> None:
        here = on_cluster(ROWS, "laptop", partitions=partitions)
        with pytest.raises(InfrastructureError, match="cluster laptop cannot take this job") as caught:
            require(here, asked())
        text = caught.value.render()
        assert expected in text
        assert "clusters.toml" in text
        assert any(expected in note for note in planned(catalog(), here, asked()).notes)

    def test_one_partition_of_several_is_enough(self) -> None:
        row = replace(catalog().clusters["laptop"], partition="short,ci")
        rows = replace(catalog(), clusters={"laptop": row})
        here = on_cluster(ROWS, "laptop", partitions=[partition(name="short", limit_min=1), partition()])
        slurm.require(rows, here, draft_plan(rows, here, asked()).needs, None)

    def test_without_a_partition_the_default_one_counts(self) -> None:
        here = on_cluster(
            ROWS, "south", partitions=[partition(), partition(name="x", default=False, limit_min=1)]
        )
        require(here, asked())
        with pytest.raises(InfrastructureError) as caught:
            require(on_cluster(ROWS, "south", partitions=[partition(default=False)]), asked())
        assert "Slurm has no default" in caught.value.render()

    @pytest.mark.parametrize(
        ("changes", "code", "expected"),
        [
            ({"problem": "scontrol: No such file or directory"}, ExitCode.INFRASTRUCTURE, "needs Slurm"),
            ({"here": "north"}, ExitCode.USAGE, "this machine is of north"),
        ],
    )
    def test_slurm_has_to_be_here(self, changes: Mapping[str, str], code: ExitCode, expected: str) -> None:
        here = on_cluster(ROWS, "laptop", problem=changes.get("problem", ""), here=changes.get("here"))
        with pytest.raises(CiError, match=expected) as caught:
            require(here, asked())
        assert caught.value.exit_code is code
        # a plan can be made, with a note
        assert planned(catalog(), here, asked()).notes


class TestAgain:
    """A saved plan elsewhere: only where it is done changes."""

    def test_a_slurm_plan_on_the_host_and_back(self) -> None:
        there = planned(catalog(), on_cluster(ROWS, "laptop"), asked(nodes=3))
        here = again(catalog(), facts(ROWS), request(executor=ExecutorKind.HOST), there)
        assert here.digest == there.digest
        assert here.placement.slurm is None
        back = again(catalog(), on_cluster(ROWS, "laptop"), asked(cluster="laptop"), here)
        assert back.digest == there.digest
        assert placed(back).nodes == 2

    def test_a_slurm_plan_stays_on_its_cluster_with_its_nodes(self) -> None:
        there = planned(catalog(), on_cluster(ROWS, "laptop"), asked(nodes=3))
        same = again(catalog(), on_cluster(ROWS, "laptop"), request(), there)
        assert same.request.cluster == "laptop"
        assert placed(same).nodes == 3
        assert same.sources["placement.slurm.nodes"] == "the saved plan"
        fewer = again(catalog(), on_cluster(ROWS, "laptop"), request(nodes=1), there)
        assert placed(fewer).nodes == 1
        assert fewer.sources["placement.slurm.nodes"] == "--nodes"
        assert fewer.digest == there.digest

    def test_a_docker_plan_on_nodes_with_docker_and_not_on_others(self) -> None:
        found = docker_facts(image())
        saved = planned(catalog(), mi300x(ROWS), request(executor=ExecutorKind.DOCKER), found)
        there = again(catalog(), on_cluster(ROWS, "north"), asked(cluster="north"), saved, found)
        assert there.digest == saved.digest
        bare = replace(catalog().clusters["north"], runtime="host")
        rows = replace(catalog(), clusters={"north": bare})
        with pytest.raises(UsageError, match="run without a container, those of the plan run in one"):
            again(rows, on_cluster(ROWS, "north"), asked(cluster="north"), saved)

    def test_options_of_a_cluster_need_one(self) -> None:
        saved = planned(catalog(), facts(ROWS), request(executor=ExecutorKind.HOST))
        with pytest.raises(UsageError) as caught:
            again(catalog(), facts(ROWS), request(nodes=2, cluster="laptop"), saved)
        text = caught.value.render()
        assert "--nodes: has no effect: the plan is run by host" in text
        assert "--cluster: " in text
