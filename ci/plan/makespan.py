"""How long a plan's tests take on its slots by their estimates: the agent's own rule, played through."""

from ci.agent.slots import Expected, expect, slots_for, waiting_for
from ci.plan.model import Plan
from ci.plan.roles import homes_of

__all__ = ["expected"]


def expected(plan: Plan) -> Expected:
    """What the queue takes, and what no order of it can beat. The nodes of a cluster take from one queue."""
    work, place = plan.work, plan.placement
    slots = slots_for(place.gpu_ids, work.jobs, place.gpu_groups)
    waiting = waiting_for(
        work.suites,
        slots,
        on_gpus=bool(place.gpu_ids),
        alone=work.sharing.alone,
        on_several=homes_of(place.roles),
    )
    return expect(waiting, slots, nodes=place.slurm.nodes if place.slurm is not None else 0)
