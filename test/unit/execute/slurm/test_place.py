"""What starts the agent on a node of a cluster without a Docker engine."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ci.catalog.executors import ExecutorKind
from ci.execute.slurm.place import words_before_agent
from support.containers import docker_facts, image
from support.planning import catalog, on_cluster, planned, registration, request


def test_the_container_has_this_repository_and_the_tree_of_the_tests() -> None:
    here = on_cluster([registration("test/a.py")], "south")
    plan = planned(catalog(), here, request(executor=ExecutorKind.SLURM), docker_facts(image()))
    plan = replace(plan, placement=replace(plan.placement, root="/sglang"))
    words = words_before_agent(plan, Path("/runs/1"))
    bound = [word for before, word in pairwise(words) if before == "--bind"]
    assert bound == [str(Path(__file__).parents[4]), "/sglang", "/runs/1"]
