"""The part of a plan that is about its allocation."""

from pathlib import Path

from ci.catalog.clusters import RuntimeField
from ci.errors import UsageError
from ci.execute.slurm.files import REPOSITORY
from ci.plan.model import Plan
from ci.plan.slurm_place import SlurmPlace
from ci.slurm.argv import runtime_words

__all__ = ["slurm_place", "words_before_agent"]


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


def words_before_agent(plan: Plan, run: Path) -> tuple[str, ...]:
    """What starts the agent on a node in the runtime of a plan, for the run folder `run`; empty where nothing is needed."""
    container = plan.placement.container
    fields = {
        RuntimeField.IMAGE: container.image_pinned if container is not None else "",
        RuntimeField.ROOT: str(REPOSITORY),
        RuntimeField.TREE: plan.placement.root,
        RuntimeField.RUN: str(run),
    }
    return tuple(runtime_words(slurm_place(plan).runtime_argv, fields))
