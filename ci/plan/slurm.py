"""Planning runs on a Slurm cluster: which row and nodes, what is asked of Slurm, and the executor of the nodes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.clusters import Cluster, Runtime
from ci.catalog.executors import ExecutorKind
from ci.catalog.stages import Suite
from ci.errors import InfrastructureError, Problem, UsageError
from ci.plan import docker, host
from ci.plan.container.image_fact import require_image
from ci.plan.container.needs import ContainerWork
from ci.plan.executor import ContainerNeed, ExecutorPlanning, Needs, Part
from ci.plan.facts import DockerFacts, Facts, PartitionFact, SlurmFacts
from ci.plan.model import Plan
from ci.plan.request import Request, given
from ci.plan.slurm_place import SlurmPlace, time_limit_min

__all__ = ["BRINGS_ENGINE", "ON_CLUSTER", "OPTIONS", "gpu_ids", "need", "need_again", "part", "require"]

# an image that is built is on the submitting machine alone
_BUILDS: Final = "--from-dockerfile"
# of a container that a runtime makes only the image is ours to choose
_OF_IMAGE: Final = ("--image", "--rocm", "--strict")
OPTIONS: Final = ("--cluster", "--nodes", *(option for option in docker.OPTIONS if option != _BUILDS))
# the executor of the nodes decides
BRINGS_ENGINE: Final = False
ON_CLUSTER: Final = True
_INNER: Final[Mapping[ExecutorKind, ExecutorPlanning]] = {
    ExecutorKind.HOST: host,
    ExecutorKind.DOCKER: docker,
}


def gpu_ids(facts: Facts) -> tuple[str, ...]:
    """Those of one node, numbered from 0."""
    return facts.gpu_ids


def need(
    catalog: Catalog, facts: Facts, request: Request, suites: Sequence[Suite], engine: str
) -> ContainerNeed | None:
    """What the executor of the nodes needs.

    Raises:
        UsageError: an option has no effect with the cluster's runtime or is more than its row allows, or as that executor.
    """
    row, runtime = _rows(catalog, facts)
    problems = list(_invalid(row, runtime, request))
    if problems:
        raise UsageError(
            f"cluster {row.name} cannot run this",
            problems=problems,
            cause=f"its row in clusters.toml has runtime {runtime.id} and at most {row.nodes_max} nodes",
            then=f"fix the options, or the row: {catalog.where(row)}",
        )
    return _INNER[runtime.inner].need(catalog, facts, request, suites, engine)


def need_again(catalog: Catalog, saved: Plan) -> ContainerNeed | None:
    """The container of a saved plan that has one.

    Raises:
        UsageError: its profile has no row here.
    """
    if saved.work.container is None:
        return None
    return replace(docker.need_again(catalog, saved), elsewhere=True)


def require(catalog: Catalog, facts: Facts, needs: Needs, found: DockerFacts | None) -> None:
    """Refuse what Slurm would refuse, or leave pending for ever.

    Raises:
        UsageError: the cluster that is named is not the one of this machine.
        InfrastructureError: no Slurm answers here, its partition cannot take the job, or the image is unresolved.
    """
    slurm = _facts(facts)
    if slurm.problem:
        raise InfrastructureError(
            f"the slurm executor needs Slurm: {slurm.problem}",
            cause="its programs are not on the PATH, or its controller does not answer",
            then="sinfo; on a login node of the cluster; without Slurm: --executor host",
        )
    if slurm.here != slurm.cluster.value:
        raise UsageError(
            f"{slurm.cluster.source} names cluster {slurm.cluster.value}, this machine is of {slurm.here}",
            cause="a job is submitted where its cluster is",
            then=f"log in there, or: --cluster {slurm.here}",
        )
    row, _ = _rows(catalog, facts)
    if refusals := tuple(_refusals(catalog, row, needs, slurm)):
        raise InfrastructureError(
            f"cluster {row.name} cannot take this job",
            problems=[Problem(where=f"partition {row.partition}".strip(), what=what) for what in refusals],
            cause=f"asked for by {catalog.where(row, 'partition')}; Slurm would refuse it or leave it pending",
            then="sinfo; fewer tests need less time: --suite, --shard or --test",
        )
    if found is not None:
        require_image(found.image, strict=needs.request.strict)


def part(catalog: Catalog, facts: Facts, needs: Needs, found: DockerFacts | None) -> Part:
    """What the executor of the nodes plans, and the allocation.

    Raises:
        UsageError: as of that executor.
        InfrastructureError: as of that executor.
    """
    row, runtime = _rows(catalog, facts)
    limits = catalog.limits.slurm
    inner = _INNER[runtime.inner].part(catalog, facts, needs, found)
    gpus = _gpus(needs, len(facts.gpu_ids))
    place = SlurmPlace(
        cluster=row.name,
        partition=row.partition,
        account=row.account,
        qos=row.qos,
        constraint=row.constraint,
        gres=row.gres if gpus else "",
        gpus_per_node=gpus,
        cpus_per_node=row.cpus_per_node,
        nodes=needs.request.nodes or row.nodes,
        time_limit_min=time_limit_min(limits, needs.limit_s),
        requeue=row.requeue,
        accounting=row.accounting,
        shared=row.shared,
        runtime=runtime.id,
        runtime_argv=runtime.argv,
        never_run=runtime.never_run,
        inner=ExecutorKind.HOST if runtime.argv else runtime.inner,
        limits=limits,
    )
    return replace(
        inner,
        slurm=place,
        gpus=gpus,
        container=_without_steps(inner.container) if runtime.argv else inner.container,
        notes=(*inner.notes, *_notes(catalog, row, runtime, needs, _facts(facts))),
        sources={**inner.sources, **_sources(facts, needs, row, runtime)},
    )


def _facts(facts: Facts) -> SlurmFacts:
    if facts.slurm is None:
        raise InfrastructureError("no facts of a cluster were gathered", then="report this")
    return facts.slurm


def _rows(catalog: Catalog, facts: Facts) -> tuple[Cluster, Runtime]:
    """The cluster's row and that of its runtime; the facts are of a cluster with a row."""
    row = catalog.clusters[_facts(facts).cluster.value]
    return row, catalog.runtimes[row.runtime]


def _invalid(row: Cluster, runtime: Runtime, request: Request) -> Iterator[Problem]:
    """What cannot be done there, or has no effect."""
    if request.nodes > row.nodes_max:
        what = f"{request.nodes} nodes, and cluster {row.name} has at most {row.nodes_max}"
        yield Problem(where="--nodes", what=what, hint=f"--nodes {row.nodes_max}")
    fitting = _OF_IMAGE if runtime.argv else _INNER[runtime.inner].OPTIONS
    for option in given(request, docker.OPTIONS):
        if option not in fitting or option == _BUILDS:
            what = f"has no effect with runtime {runtime.id} of cluster {row.name}"
            yield Problem(where=option, what=what, hint="leave it out")


def _gpus(needs: Needs, most: int) -> int:
    """GPUs of each node: as many as the tests that run at a time can use."""
    jobs = needs.request.jobs
    if jobs == "gpus":
        return most
    return min(most, int(jobs or 1) * max((suite.gpus for suite in needs.suites), default=0))


def _without_steps(container: ContainerWork | None) -> ContainerWork | None:
    """A container that is not made by us: nothing is installed in it, and nothing runs in it but the agent."""
    if container is None:
        return None
    return replace(
        container,
        install=replace(container.install, steps=()),
        guards=replace(container.guards, protected={}, starts=(), probes={}),
        preflights=(),
    )


def _refusals(catalog: Catalog, row: Cluster, needs: Needs, slurm: SlurmFacts) -> Iterator[str]:
    """Why no partition of the row can take the job."""
    names = row.partitions or tuple(one.name for one in slurm.partitions if one.default)
    known = {one.name: one for one in slurm.partitions}
    if missing := row.missing(known):
        yield f"{', '.join(missing)} does not exist; Slurm has {', '.join(known) or 'none that you may use'}"
    named = [known[name] for name in names if name in known]
    if not named:
        if not names:
            yield "the row names none, and Slurm has no default"
        return
    nodes, limit_min = needs.request.nodes or row.nodes, time_limit_min(catalog.limits.slurm, needs.limit_s)
    misfits = {one.name: _misfits(one, nodes, limit_min) for one in named}
    if all(misfits.values()):
        yield from (what for found in misfits.values() for what in found)


def _misfits(partition: PartitionFact, nodes: int, limit_min: int) -> tuple[str, ...]:
    """Why a partition cannot take a job of so many nodes and minutes."""
    name, most_min = partition.name, partition.limit_min
    too_long = most_min is not None and limit_min > most_min
    found = {
        f"{name} is not up": not partition.up,
        f"the job needs {nodes} nodes, {name} has {partition.nodes}": nodes > partition.nodes,
        f"the job needs {limit_min} min, {name} has MaxTime {most_min} min": too_long,
    }
    return tuple(what for what, holds in found.items() if holds)


def _notes(
    catalog: Catalog, row: Cluster, runtime: Runtime, needs: Needs, slurm: SlurmFacts
) -> Iterator[str]:
    if runtime.never_run:
        yield f"runtime {runtime.id} has NEVER BEEN RUN: its row was written from {runtime.source}"
    if runtime.argv:
        yield f"runtime {runtime.id}: nothing is installed in the container, and no guard and no preflight is run"
    if slurm.problem:
        yield f"a run would fail here: {slurm.problem}"
    elif slurm.here == row.name:
        yield from (f"a run would fail here: {what}" for what in _refusals(catalog, row, needs, slurm))
    elif slurm.here:
        yield f"the plan is for cluster {row.name}, this machine is of {slurm.here}"


def _sources(facts: Facts, needs: Needs, row: Cluster, runtime: Runtime) -> Mapping[str, str]:
    here = f"clusters.toml: cluster[{row.name}]"
    return {
        "placement.slurm": here,
        "placement.slurm.cluster": _facts(facts).cluster.source,
        "placement.slurm.nodes": "--nodes" if needs.request.nodes else here,
        "placement.slurm.gpus_per_node": f"as many as the tests at a time can use, of {row.gpus_per_node}: {here}",
        "placement.slurm.time_limit_min": "the limits of the suites, slurm.start_s and slurm.stop_before_s",
        "placement.slurm.runtime_argv": f"clusters.toml: runtime[{runtime.id}]",
        "placement.slurm.inner": f"clusters.toml: runtime[{runtime.id}]",
        "placement.slurm.limits": "limits.toml",
    }
