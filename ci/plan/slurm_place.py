"""Where a Slurm run is placed: the cluster, what is asked of it, and how the agent is started on its nodes."""

import math
from dataclasses import dataclass

from ci.catalog.executors import ExecutorKind
from ci.catalog.limits import SlurmLimits

__all__ = ["SlurmPlace", "time_limit_min"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmPlace:
    """One allocation. What is empty is not asked for.

    `gpus_per_node` of `gres` and `cpus_per_node` are asked of each node; 0 CPUs: the whole node for itself. `inner` is the executor that
    starts the agent on a node, behind `runtime_argv`. `shared` is the folder in which the run folder is made, empty: as without Slurm.
    """

    cluster: str
    partition: str
    account: str
    qos: str
    constraint: str
    gres: str
    gpus_per_node: int
    cpus_per_node: int
    nodes: int
    time_limit_min: int
    requeue: bool
    accounting: bool
    shared: str
    runtime: str
    runtime_argv: tuple[str, ...]
    never_run: bool
    inner: ExecutorKind
    limits: SlurmLimits

    @property
    def words(self) -> str:
        """`2 nodes of NAME`, as every report has it."""
        return f"{self.nodes} node{'s' if self.nodes != 1 else ''} of {self.cluster}"


def time_limit_min(limits: SlurmLimits, suites_s: float) -> int:
    """The job's time limit in whole minutes, for suites that may take so long in all."""
    return math.ceil((suites_s + limits.start_s + limits.stop_before_s) / 60)
