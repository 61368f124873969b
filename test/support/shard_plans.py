"""Plans of one shard of a suite of forty tests, on a host and in a container."""

from typing import Any

from ci.catalog.executors import ExecutorKind
from ci.plan.model import Plan
from ci.plan.shards import Shard
from support.containers import docker_facts, image
from support.planning import STAGE_B_SMALL, catalog, mi300x, planned, registration, request

__all__ = ["contained_shard_plan", "one_of", "shard_plan"]

_ROWS = [registration(f"test/registered/x/test_{n}.py", STAGE_B_SMALL, est_time_s=60 + n) for n in range(40)]


def one_of(index: int, count: int, **changes: Any) -> Plan:
    """The plan of one shard of several, of a suite of twelve tests."""
    shard = Shard(index=index, count=count)
    words = ("--suite", "1-gpu-small", "--shard", str(shard))
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=shard,
        command=("nox", "-s", "stage_b_amd", "--", *words),
    )
    return planned(catalog(), mi300x(_ROWS[:12], **changes), asked)


def shard_plan(**changes: Any) -> Plan:
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=Shard(index=3, count=14),
        command=("nox", "-s", "stage_b_amd", "--", "--suite", "1-gpu-small", "--shard", "3/14"),
        **changes,
    )
    return planned(catalog(), mi300x(_ROWS), asked)


def contained_shard_plan(**changes: Any) -> Plan:
    """A plan of a job in a container, with the words that asked for it."""
    words = ("--executor", "docker", "--image", "org/engine:x", "--suite", "1-gpu-small", "--shard", "3/14")
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=Shard(index=3, count=14),
        executor=ExecutorKind.DOCKER,
        image="org/engine:x",
        command=("nox", "-s", "stage_b_amd", "--", *words),
        **changes,
    )
    return planned(catalog(), mi300x(_ROWS), asked, docker_facts(image()))
