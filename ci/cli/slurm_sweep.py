"""`python -m ci slurm_sweep TOKEN`: what the head of a Slurm run starts on a node whose worker it has lost."""

import sys
from collections.abc import Sequence

from ci.execute.process_sweep import sweep
from ci.system import clock

__all__ = ["slurm_sweep"]


def slurm_sweep(arguments: Sequence[str]) -> int:
    """End all processes with this token, and print which they were."""
    for process in sweep(arguments[0], wait=clock.sleep_s):
        sys.stdout.write(f"{process.pid} ({process.command})\n")
    return 0
