"""The executors: the closed set of where the agent can run.

What each of them plans is in `ci.plan.registry`, what it does in `ci.execute.registry`.
"""

from enum import StrEnum

__all__ = ["ExecutorKind"]


class ExecutorKind(StrEnum):
    """Where the agent runs."""

    HOST = "host"
    DOCKER = "docker"
    SLURM = "slurm"
