"""The part of a plan that is about its allocation."""

from ci.errors import UsageError
from ci.plan.model import Plan
from ci.plan.slurm_place import SlurmPlace

__all__ = ["slurm_place"]


def slurm_place(plan: Plan) -> SlurmPlace:
    """The allocation of a plan.

    Raises:
        UsageError: it is no plan of a Slurm run.
    """
    if plan.placement.slurm is None:
        raise UsageError(
            f"this is a run of the {plan.placement.executor} executor, not of slurm", then="./inv slurm.list"
        )
    return plan.placement.slurm
