"""`python -m ci slurm_head RUN`: what the batch script of a Slurm run is."""

from collections.abc import Sequence
from pathlib import Path

from ci.execute.run_folder import read_plan
from ci.execute.slurm.head import Head
from ci.system.environ import read_environ
from ci.system.signals import stop_requested

__all__ = ["slurm_head"]


def slurm_head(arguments: Sequence[str]) -> int:
    """Be the head of the run in this folder."""
    stopped = stop_requested()
    run = Path(arguments[0])
    return Head(run, read_plan(run), read_environ(), stopped).run()
