"""How long a plan's tests take on its slots by their estimates: the agent's own rule, played through."""

from ci.agent.slots import Expected, Slots, Waiting, expect
from ci.plan.model import Plan

__all__ = ["expected"]


def expected(plan: Plan) -> Expected:
    """What the queue takes, and what no order of it can beat; on the CPU a test has as many slots as it would have GPUs.

    The nodes of a cluster take from one queue.
    """
    work, gpus = plan.work, plan.placement.gpu_ids
    ids = gpus or tuple(map(str, range(work.jobs)))
    slots = Slots(ids=ids, at_once=work.jobs, groups=plan.placement.gpu_groups)
    tests = [(suite.gpus, test) for suite in work.suites for test in suite.tests]
    waiting = [
        Waiting(
            place=place,
            needs=needs if gpus else min(max(1, needs), len(ids)),
            est_s=test.est_s,
            alone=test.id in work.sharing.alone,
        )
        for place, (needs, test) in enumerate(tests)
    ]
    nodes = plan.placement.slurm.nodes if plan.placement.slurm is not None else 1
    return expect(waiting, slots, nodes=nodes)
