"""Slurm clusters and what starts the agent on their nodes: the rows of `clusters.toml`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from ci.catalog.columns import Count, Sourced, Text, Whole, matching
from ci.catalog.decode import Reader
from ci.catalog.executors import ExecutorKind
from ci.catalog.hardware import CPU, HardwareCatalog

__all__ = ["INNER", "Cluster", "ClusterRows", "Runtime", "RuntimeField", "load_clusters"]

# the executors that a node can have
INNER: Final = (ExecutorKind.HOST, ExecutorKind.DOCKER)
_Name = Annotated[str, matching(r"[A-Za-z0-9][\w.-]*", "a name as Slurm has it, e.g. mi300x-cluster")]
_Names = Annotated[
    str,
    matching(r"[A-Za-z0-9][\w.-]*(,[A-Za-z0-9][\w.-]*)*", "names with commas between them, e.g. gpu,long"),
]
_Gres = Annotated[
    str,
    matching(r"[a-z][\w.-]*(:[\w.-]*[A-Za-z_][\w.-]*)?", "a GRES name, or name:type, without a number: gpu"),
]
_Folder = Annotated[str, matching(r"/[^\n]*", "an absolute path, e.g. /shared/runs")]


class RuntimeField(StrEnum):
    """What an argument of a runtime may hold."""

    IMAGE = "{image}"
    ROOT = "{root}"
    TREE = "{tree}"
    RUN = "{run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime(Sourced):
    """How the agent is started on a node.

    `inner` is the executor that plans it and, where `argv` is empty, starts the agent. `argv` stands before the agent's own words;
    {image}, {root}, {tree} and {run} in it are filled in. `never_run`: it was written from a manual and never tried.
    """

    id: Text
    inner: ExecutorKind
    argv: tuple[Text, ...] = ()
    never_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Sourced):
    """A cluster by its ClusterName. What is empty is not asked for, and Slurm's own default holds.

    `gres` is requested `gpus_per_node` times. `cpus_per_node` is how many CPUs a job has of each node; 0: the whole node for
    itself. `nodes` is the default, `nodes_max` the most. `shared` is the folder on the shared file system in which runs are
    kept; empty: that of the checkout. `requeue`: Slurm may start a job again. `accounting`: `sacct` has an answer.
    """

    KEY: ClassVar[str] = "name"

    name: _Name
    hardware: Text
    partition: _Names = ""
    account: _Name = ""
    qos: _Name = ""
    constraint: Text = ""
    gres: _Gres = ""
    gpus_per_node: Whole = 0
    cpus_per_node: Whole = 0
    nodes: Count
    nodes_max: Count
    runtime: Text
    shared: _Folder = ""
    requeue: bool = False
    accounting: bool = False

    @property
    def partitions(self) -> tuple[str, ...]:
        """Their names; empty where the row names none."""
        return tuple(self.partition.split(",")) if self.partition else ()

    def missing(self, known: Collection[str]) -> tuple[str, ...]:
        """The row's partitions that are not among those that Slurm has."""
        return tuple(name for name in self.partitions if name not in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRows:
    """All rows of clusters.toml, by name."""

    clusters: Mapping[str, Cluster]
    runtimes: Mapping[str, Runtime]


def load_clusters(reader: Reader, hardware: HardwareCatalog) -> ClusterRows:
    """Read clusters.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("clusters.toml", "cluster", "runtime")
    rows = ClusterRows(
        clusters={row.name: row for row in file.rows("cluster", Cluster)},
        runtimes={row.id: row for row in file.rows("runtime", Runtime)},
    )
    file.refer("cluster", "hardware", "hardware class", hardware.classes)
    file.refer("cluster", "runtime", "runtime", rows.runtimes)
    for cluster in rows.clusters.values():
        _check_cluster(reader, cluster)
    for runtime in rows.runtimes.values():
        _check_runtime(reader, runtime)
    return rows


def _check_cluster(reader: Reader, row: Cluster) -> None:
    if row.nodes > row.nodes_max:
        what = f"is {row.nodes}, more than nodes_max = {row.nodes_max}"
        reader.problem(row, "nodes", what, f"at most {row.nodes_max}")
    on_gpus = row.hardware != CPU
    if on_gpus and not row.gpus_per_node:
        what = f"is missing or 0, and {row.hardware} is a class with GPUs"
        reader.problem(row, "gpus_per_node", what, "e.g. gpus_per_node = 8")
    if on_gpus and not row.gres:
        what = f"is missing, and {row.hardware} is a class with GPUs"
        reader.problem(row, "gres", what, 'e.g. gres = "gpu"; see: sinfo -o %G')
    if not on_gpus and row.gpus_per_node:
        what = f"is {row.gpus_per_node}, and {CPU} has no GPUs"
        reader.problem(row, "gpus_per_node", what, "leave it out, or name the hardware class of the GPUs")


def _check_runtime(reader: Reader, row: Runtime) -> None:
    if row.inner not in INNER:
        what = f"is {str(row.inner)!r}, which no node has"
        reader.problem(row, "inner", what, f"one of {', '.join(INNER)}")
    for number, word in enumerate(row.argv):
        for name in re.findall(r"\{[^{}]*\}", word):
            if name not in set(RuntimeField):
                hint = f"one of {', '.join(RuntimeField)}"
                reader.problem(row, "argv", f"argument {number + 1} holds the unknown field {name}", hint)
