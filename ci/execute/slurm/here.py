"""A plan on the node that it reached: what Slurm says of the job, and what this node has for a container."""

from collections.abc import Mapping
from dataclasses import replace

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.errors import InfrastructureError, Problem
from ci.execute.slurm.place import slurm_place
from ci.facts.container_host import gather_container_facts
from ci.plan.container.needs import ContainerFacts, ContainerPlace, ContainerWork, environment_of, nofile_of
from ci.plan.environment import pass_through_names
from ci.plan.model import Plan

__all__ = ["container_here", "plan_here"]


def plan_here(plan: Plan, catalog: Catalog, environ: Mapping[str, str]) -> Plan:
    """The plan on this node: what Slurm says of the job and its GPUs reaches the tests, a container has this node's devices and mounts.

    Raises:
        InfrastructureError: the node lacks a mount whose variables the plan has.
        UsageError: a switch of a mount has a value that means neither on nor off.
    """
    in_container = slurm_place(plan).inner is ExecutorKind.DOCKER
    names = pass_through_names(catalog, environ, in_container=in_container)
    placement, work = replace(plan.placement, pass_through=names), plan.work.container
    if in_container and placement.container is not None and work is not None:
        profile, planned = catalog.containers.profiles[work.profile], placement.container
        found = gather_container_facts(catalog, profile, {**environ, "DOCKER_HOST": planned.docker})
        placement = replace(placement, container=container_here(catalog, work, planned, found))
    return replace(plan, placement=placement)


def container_here(
    catalog: Catalog, work: ContainerWork, planned: ContainerPlace, found: ContainerFacts
) -> ContainerPlace:
    """The planned container with what was found on this node.

    Raises:
        InfrastructureError: the node lacks a mount whose variables the plan has.
    """
    own = environment_of(catalog.containers, work.profile, found.mounts)
    if missing := [name for name in work.env if name not in own]:
        raise InfrastructureError(
            "this node lacks a mount of the plan's container",
            problems=[Problem(where=name, what="is set by the plan and needs it") for name in missing],
            cause="; ".join(found.absent),
            then="make that path on every node; the mounts are rows of ci/catalog/containers.toml",
        )
    return replace(
        planned,
        devices=tuple(device.path for device in found.devices),
        groups=found.groups,
        mounts=found.mounts,
        absent=found.absent,
        cache=found.cache,
        cache_free_bytes=found.cache_free_bytes,
        nofile=nofile_of(catalog.containers.profiles[work.profile], found.nofile_max),
    )
