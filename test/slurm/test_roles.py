"""Servers in roles on two nodes of a real cluster: SGLang's router before two servers of llama.cpp."""

import json
import sys
from pathlib import Path

import pytest

from support.files import only_tests, wait_for
from support.slurm_runs import Project, Run

TEST = "disaggregation/test_prefill_decode_router.py"
OURS = Path(__file__).parents[1] / "registered" / TEST


def started(project: Project, name: str) -> Run:
    """The suite with roles on two nodes, with our test of it alone."""
    only_tests(project.repository, {TEST: f"{OURS.read_text()}# {name}\n"})
    words = ("--executor", "slurm", "--nodes", "2", "--suite", "8-gpu-disaggregation")
    return project.start(argv=(sys.executable, "-m", "ci", "run", "stage-b-amd", *words))


@pytest.mark.engine
def test_prefill_and_decode_are_on_nodes_of_their_own(project: Project) -> None:
    run = started(project, "two nodes")
    assert run.wait(300) == 0, run.text
    assert run.outcomes() == {"prefill_decode_router": "passed"}
    places = {event["role"]: (event["node"], event["host"]) for event in run.of("role-started")}
    # both nodes of the test cluster have one address
    assert places == {"prefill": (1, "127.0.0.1"), "decode": (2, "127.0.0.1"), "router": (1, "127.0.0.1")}
    assert {event["worker"] for event in run.of("role-started")} == {"1"}
    assert "the transfer of KV caches is not" in run.text
    project.wait_until_nothing_is_left()


@pytest.mark.engine
def test_a_lost_node_ends_the_roles_of_the_other(project: Project) -> None:
    run = started(project, "a lost node")

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
