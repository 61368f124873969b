"""The tests of a queue, in its order."""

from dataclasses import dataclass, replace

from .roles.group import is_on_several
from .roles.nodes import is_elsewhere
from .slots import Slots, Waiting, in_order, waiting_for
from .spec import Retry, Spec, Suite, Test

__all__ = ["Entry", "entries_of"]


@dataclass(slots=True, eq=False, kw_only=True)
class Entry:
    """A test of the queue, with its next attempt: not before `ready_s` on the monotonic clock.

    `number` is its place in the spec. Where other agents have the test too it is claimed for the try `claim` before its first
    attempt. `failed`: what ends a run with fail-fast, once no further attempt comes of it.
    """

    suite: Suite
    test: Test
    number: int
    waiting: Waiting
    claim: int = 1
    is_ours: bool = True
    attempt: int = 1
    ready_s: float = 0.0
    retry: Retry | None = None
    failed: str = ""


def entries_of(spec: Spec, slots: Slots) -> list[Entry]:
    """The tests that may run here, in the order of the queue."""
    tests = [(suite, test) for suite in spec.suites for test in suite.tests]
    waiting = waiting_for(
        spec.suites,
        slots,
        on_gpus=bool(spec.gpu_ids),
        alone=spec.sharing.alone,
        on_several=[suite.id for suite in spec.suites if is_on_several(spec, suite)],
    )
    return [
        Entry(
            suite=tests[each.place][0],
            test=tests[each.place][1],
            number=each.place,
            waiting=replace(each, place=place),
            is_ours=not spec.claims.folder,
        )
        for place, each in enumerate(in_order(waiting, slots, is_shared=bool(spec.claims.folder)))
        if not is_elsewhere(spec, tests[each.place][0])
    ]
