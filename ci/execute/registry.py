"""The executors as a run knows them: one module each."""

from collections.abc import Callable, Mapping
from typing import Final

from ci.catalog.executors import ExecutorKind
from ci.execute import docker, host
from ci.execute.executor import ExecutorModule
from ci.execute.slurm import executor as slurm
from ci.execute.spec import Spec
from ci.plan.model import Plan

__all__ = ["EXECUTORS", "REFUSALS"]

# how each of them is planned is in ci.plan.registry
EXECUTORS: Final[Mapping[ExecutorKind, ExecutorModule]] = {
    ExecutorKind.HOST: host,
    ExecutorKind.DOCKER: docker,
    ExecutorKind.SLURM: slurm,
}

# what can be refused before there is a run folder, where the interpreter of the tests is on this machine
REFUSALS: Final[Mapping[ExecutorKind, Callable[[Plan, Spec, Mapping[str, str]], None]]] = {
    ExecutorKind.HOST: host.refuse,
}
