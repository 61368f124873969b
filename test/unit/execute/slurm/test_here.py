"""A container on a node that is not as the machine on which the run was submitted."""

from collections.abc import Sequence

import pytest

from ci.errors import InfrastructureError
from ci.execute.slurm.here import container_here
from ci.plan.container.needs import ContainerPlace, Mount
from ci.plan.facts import DockerFacts
from ci.plan.model import Plan
from support.containers import CACHE, contained, docker_facts, image
from support.planning import catalog

LIBRARY = Mount(id="nic-library", source="/usr/lib/nic/a.so", target="/usr/lib/nic/a.so", read_only=True)


def on_node(plan: Plan, mounts: Sequence[Mount], absent: Sequence[str] = ()) -> ContainerPlace:
    found: DockerFacts = docker_facts(image(), mounts=tuple(mounts), absent=tuple(absent))
    work, place = plan.work.container, plan.placement.container
    assert work is not None
    assert place is not None
    return container_here(catalog(), work, place, found.container)


def test_the_mounts_are_those_of_the_node() -> None:
    place = on_node(contained(absent=("nic-library: no",)), [CACHE, LIBRARY])
    assert (place.mounts, place.absent) == ((CACHE, LIBRARY), ())


def test_a_node_without_a_mount_whose_variables_the_plan_has_runs_nothing() -> None:
    with pytest.raises(InfrastructureError) as caught:
        on_node(contained(), [LIBRARY], ["cache: /srv/cache does not exist"])
    text = caught.value.render()
    assert "HF_HOME" in text
    assert "cache: /srv/cache does not exist" in text
    # without it in the plan nothing is missing
    assert on_node(contained(mounts=()), [LIBRARY]).mounts == (LIBRARY,)
