"""Servers in roles on two nodes of a real cluster: SGLang's router before two servers of llama.cpp."""

import json
import sys
from pathlib import Path

import pytest

from support.files import only_tests, wait_for
from support.slurm_runs import Project, Run

TEST = "disaggregation/test_prefill_decode_router.py"
OURS = Path(__file__).parents[1] / "registered" / TEST


def started(project: Project) -> Run:
    """The suite with roles on two nodes, with our test of it alone."""
    only_tests(project.repository, {TEST: OURS.read_text()})
    words = ("--executor", "slurm", "--nodes", "2", "--suite", "8-gpu-disaggregation")
    return project.start(argv=(sys.executable, "-m", "ci", "run", "stage-b-amd", *words))


@pytest.mark.engine
def test_prefill_and_decode_are_on_nodes_of_their_own(project: Project) -> None:
    run = started(project)
    assert run.wait(300) == 0, run.text
    assert run.outcomes() == {"prefill_decode_router": "passed"}
    places = {event["role"]: (event["node"], event["host"]) for event in run.of("role-started")}
    assert {role: node for role, (node, _) in places.items()} == {"prefill": 1, "decode": 2, "router": 1}
    assert places["prefill"][1] != places["decode"][1]
    assert "the transfer of KV caches is not" in run.text
    project.wait_until_nothing_is_left()


@pytest.mark.engine
def test_a_lost_node_ends_the_roles_of_the_other(project: Project) -> None:
    run = started(project)

    def decode_is_ready() -> bool:
        states = list((run.folder / "roles").glob("*/*/decode.json")) if "run " in run.text else []
        return any(json.loads(path.read_text())["state"] == "ready" for path in states)

    wait_for("decode", decode_is_ready, 200)
    assert project.cluster.nodes["n2"].kill("slurm_worker")
    assert run.wait(120) == 4, run.text
    (ended,) = run.of("test-ended")
    assert (ended["verdict"], ended["evidence"][0]) == (
        "infra",
        "decode failed: node 2, which has it, was lost",
    )
    project.wait_until_nothing_is_left()
