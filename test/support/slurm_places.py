"""An allocation of two nodes, for plans of Slurm runs."""

from ci.catalog.executors import ExecutorKind
from ci.plan.slurm_place import SlurmPlace
from support.planning import catalog

__all__ = ["PLACE"]

PLACE = SlurmPlace(
    cluster="laptop",
    partition="",
    account="",
    qos="",
    constraint="",
    gres="",
    gpus_per_node=0,
    cpus_per_node=2,
    nodes=2,
    time_limit_min=90,
    requeue=False,
    accounting=False,
    shared="",
    runtime="host",
    runtime_argv=(),
    never_run=False,
    inner=ExecutorKind.HOST,
    limits=catalog().limits.slurm,
)
