"""The Slurm executor."""

from ci.errors import InfrastructureError
from ci.execute.executor import Executor, RunInputs

__all__ = ["open_executor"]


def open_executor(run: RunInputs) -> Executor:
    """The executor of a run on a cluster.

    Raises:
        InfrastructureError: this version only plans such runs.
    """
    raise InfrastructureError(
        f"this version plans runs with --executor {run.plan.placement.executor}, and does not run them",
        then="see the plan: --dry-run; run it here: --executor host",
    )
