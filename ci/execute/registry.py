"""The executors as a run knows them: one module each."""

from collections.abc import Mapping
from typing import Final

from ci.catalog.executors import ExecutorKind
from ci.execute import docker, host
from ci.execute.executor import ExecutorModule
from ci.execute.slurm import executor as slurm

__all__ = ["EXECUTORS"]

# how each of them is planned is in ci.plan.registry
EXECUTORS: Final[Mapping[ExecutorKind, ExecutorModule]] = {
    ExecutorKind.HOST: host,
    ExecutorKind.DOCKER: docker,
    ExecutorKind.SLURM: slurm,
}
