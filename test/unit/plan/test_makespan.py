"""How long a plan takes with several tests at a time, and what is decided for them."""

from dataclasses import replace

from ci.catalog.executors import ExecutorKind
from ci.plan.makespan import expected
from ci.plan.model import Plan
from support.containers import docker_facts, image
from support.planning import catalog, facts, mi300x, on_cluster, planned, registration, request

BENCH = "test/registered/perf/test_bench.py"
ROWS = [
    registration("test/registered/a.py", est_time_s=60),
    registration("test/registered/b.py", est_time_s=30),
    registration("test/registered/c.py", est_time_s=30),
    registration(BENCH, est_time_s=10),
]


def plan_for(jobs: str, gpus: int = 2) -> Plan:
    here = mi300x(ROWS, gpus=gpus) if gpus else facts(ROWS, cpus=4)
    return planned(catalog(), here, request(jobs=jobs))


def test_a_bench_runs_alone_and_the_others_share_the_gpus() -> None:
    found = expected(plan_for("gpus"))
    assert (found.makespan_s, found.lower_bound_s, found.gap) == (70, 70, 0)


def test_one_at_a_time_takes_the_sum_and_shares_nothing() -> None:
    plan = plan_for("")
    assert expected(plan).makespan_s == 130
    assert (plan.work.sharing.alone, plan.work.sharing.variables) == ((), ())


def test_a_rehearsal_has_cpu_slots() -> None:
    plan = plan_for("gpus", gpus=0)
    assert plan.work.jobs == 4
    assert expected(plan).makespan_s == 70


def test_nodes_take_from_one_queue() -> None:
    asked = request(executor=ExecutorKind.SLURM, jobs="1")
    times = []
    for nodes in (1, 2, 3):
        there = planned(catalog(), on_cluster(ROWS, "laptop"), replace(asked, nodes=nodes))
        found = expected(there)
        assert found.lower_bound_s <= found.makespan_s
        times.append(found.makespan_s)
    # 60 30 30 10: the longest first, each node has one at a time
    assert times == [130, 70, 60]


def test_what_tests_may_not_share_is_in_the_plan_and_in_its_digest() -> None:
    plan = plan_for("2")
    assert plan.work.sharing.alone == (BENCH,)
    assert {row.name for row in plan.work.sharing.variables} == {"TMPDIR", "MASTER_PORT"}
    assert plan.digest != plan_for("").digest
    assert plan.digest == plan_for("gpus").digest, "as many as there are GPUs"


def test_more_jobs_than_gpus_are_no_more_tests_at_a_time_than_the_gpus_allow() -> None:
    assert expected(plan_for("8", gpus=1)).makespan_s == 130


def test_gpus_keep_their_groups_where_the_container_numbers_them_anew() -> None:
    groups = (("hive", "CPU node 0"), ("hive", "CPU node 1"))
    here = replace(mi300x(ROWS, gpus=2), gpu_ids=("4", "6"), gpu_groups=groups)
    asked = request(jobs="2")
    assert planned(catalog(), here, asked).placement.gpu_groups == {"4": groups[0], "6": groups[1]}
    asked = replace(asked, executor=ExecutorKind.DOCKER)
    plan = planned(catalog(), here, asked, docker_facts(image()))
    assert plan.placement.gpu_groups == {"0": groups[0], "1": groups[1]}


def test_a_container_has_shared_memory_for_each_test_at_a_time() -> None:
    asked = request(executor=ExecutorKind.DOCKER)
    sizes = []
    for jobs in ("", "2"):
        plan = planned(catalog(), mi300x(ROWS, gpus=2), replace(asked, jobs=jobs), docker_facts(image()))
        assert plan.work.container is not None
        sizes.append(plan.work.container.options.shm_bytes)
    assert sizes[1] == 2 * sizes[0]
