"""The executors as planning knows them: one module each, and which of them a request gets."""

from collections.abc import Mapping
from typing import Final

from ci.catalog.containers import Containers
from ci.catalog.executors import ExecutorKind
from ci.plan import docker, host, slurm
from ci.plan.executor import ExecutorPlanning

__all__ = ["EXECUTORS", "EXECUTOR_OPTIONS", "decide_executor"]

# what each of them does is in ci.execute.registry
EXECUTORS: Final[Mapping[ExecutorKind, ExecutorPlanning]] = {
    ExecutorKind.HOST: host,
    ExecutorKind.DOCKER: docker,
    ExecutorKind.SLURM: slurm,
}
# the options that only some executors have a use for
EXECUTOR_OPTIONS: Final = tuple(
    dict.fromkeys(option for each in EXECUTORS.values() for option in each.OPTIONS)
)


def decide_executor(
    containers: Containers, asked: ExecutorKind | None, hardware_class: str, *, engine_here: bool
) -> tuple[ExecutorKind, str]:
    """Where the tests run, and the source. `engine_here`: an interpreter of this machine has the engine."""
    if asked is not None:
        return asked, "--executor"
    row = containers.default_for(hardware_class)
    if EXECUTORS[row.executor].BRINGS_ENGINE and engine_here:
        return ExecutorKind.HOST, "default: this machine has the engine itself"
    return row.executor, f"containers.toml: the default for {hardware_class}"
