"""`python -m ci slurm_worker RUN NUMBER`: what the head of a Slurm run starts on each node."""

from collections.abc import Sequence
from pathlib import Path

from ci.execute.registry import EXECUTORS
from ci.execute.slurm.worker import Worker
from ci.system.environ import read_environ

__all__ = ["slurm_worker"]


def slurm_worker(arguments: Sequence[str]) -> int:
    """Be the worker of this number."""
    run, number = arguments
    Worker(Path(run), number, read_environ(), EXECUTORS).run()
    return 0
