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
        f"the slurm executor does not run yet: cluster {run.plan.placement.slurm} was planned and not asked",
        then="see the plan: --dry-run; here: --executor host",
    )
