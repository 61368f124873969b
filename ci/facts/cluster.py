"""The cluster of a run: its row, and what the Slurm of this machine says."""

from collections.abc import Mapping
from dataclasses import replace

from ci.catalog.catalog import Catalog
from ci.catalog.clusters import Cluster
from ci.catalog.hardware import CPU
from ci.catalog.toml_reader import closest
from ci.errors import InfrastructureError, UsageError
from ci.plan.facts import Known, SlurmFacts
from ci.plan.request import Request
from ci.slurm.client import Slurm, SlurmError

__all__ = ["find_cluster", "look_at_slurm", "row_to_add"]


def find_cluster(
    catalog: Catalog, request: Request, environ: Mapping[str, str], *, named_only: bool = False
) -> SlurmFacts:
    """The cluster that is named, else the one of this machine, which have rows; `named_only`: no Slurm is asked about a named one.

    Raises:
        UsageError: the cluster has no row, or the requested hardware is not its own.
        InfrastructureError: no cluster is named, and no Slurm answers here.
    """
    if request.cluster:
        found = SlurmFacts() if named_only else look_at_slurm(catalog, environ)
        found = replace(found, cluster=Known(value=request.cluster, source="--cluster"))
    else:
        found = look_at_slurm(catalog, environ)
    if not found.cluster.value:
        raise InfrastructureError(
            f"the slurm executor needs Slurm: {found.problem}",
            cause="this machine is not of a cluster, or its controller does not answer",
            then=f"sinfo; a plan without one: --cluster {next(iter(catalog.clusters), 'NAME')} --dry-run; here: --executor host",
        )
    name = found.cluster.value
    row = catalog.clusters.get(name)
    if row is None:
        known = (
            f"those with a row: {', '.join(catalog.clusters)}" if catalog.clusters else "no cluster has one"
        )
        raise UsageError(
            f"cluster {name!r} ({found.cluster.source}) has no row in clusters.toml",
            cause=closest(name, catalog.clusters) if request.cluster and catalog.clusters else known,
            then=f"add it, docs/slurm.md has rows to copy: {row_to_add(name)}",
        )
    _require_hardware(catalog, request, row)
    return found


def look_at_slurm(catalog: Catalog, environ: Mapping[str, str]) -> SlurmFacts:
    """What the Slurm of this machine says of itself, or why it says nothing."""
    slurm = Slurm(environ, answer_s=catalog.limits.slurm.answer_s)
    try:
        config, partitions = slurm.config(), slurm.partitions()
    except SlurmError as error:
        return SlurmFacts(problem=f"{error.what}: {error.cause}")
    here = config.get("ClusterName", "")
    return SlurmFacts(
        cluster=Known(value=here, source="ClusterName of the Slurm here"),
        here=here,
        version=config.get("SLURM_VERSION", ""),
        partitions=partitions,
    )


def row_to_add(name: str) -> str:
    """A row for a cluster that has none, in one line."""
    return (
        f'[[cluster]] name = "{name}", hardware = "mi300x", partition = "...", gres = "gpu", gpus_per_node = 8, '
        'nodes = 1, nodes_max = 1, runtime = "docker", why = "...", source = "..."'
    )


def _require_hardware(catalog: Catalog, request: Request, row: Cluster) -> None:
    """A rehearsal is possible everywhere.

    Raises:
        UsageError: the nodes are of another class.
    """
    if request.hardware not in ("auto", row.hardware, CPU):
        raise UsageError(
            f"--hardware {request.hardware}, but the nodes of cluster {row.name} are {row.hardware}",
            cause=catalog.where(row, "hardware"),
            then=f"leave out --hardware, or name another cluster; rehearse: --hardware {CPU}",
        )
