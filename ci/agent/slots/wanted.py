"""The slots of a run, and what its tests want of them: on GPUs, or on parts of the CPU in their place."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from .rule import Slots, Waiting

__all__ = ["slots_for", "waiting_for"]


class _Test(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def est_s(self) -> float: ...


class _Suite(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def gpus(self) -> int: ...
    @property
    def roles(self) -> Sequence[object]: ...
    @property
    def tests(self) -> Sequence[_Test]: ...


def slots_for(gpu_ids: tuple[str, ...], jobs: int, groups: Mapping[str, tuple[str, ...]]) -> Slots:
    """The GPUs of a run, or as many CPU slots as it has tests at a time."""
    return Slots(ids=gpu_ids or tuple(map(str, range(jobs))), at_once=jobs, groups=groups)


def waiting_for(
    suites: Iterable[_Suite],
    slots: Slots,
    *,
    on_gpus: bool,
    alone: Collection[str],
    on_several: Collection[str],
) -> list[Waiting]:
    """The tests of these suites, each with their GPUs, before they are ordered.

    On the CPU a test has as many slots as it would have GPUs, where there are so many. `alone` are the ids of tests beside which
    nothing runs: none runs beside one with roles either, whose servers are as large as the machine. `on_several` are the ids of suites
    with roles on several nodes, which the other nodes wait for.
    """
    tests = [(suite, test) for suite in suites for test in suite.tests]
    return [
        Waiting(
            place=place,
            needs=suite.gpus if on_gpus else min(max(1, suite.gpus), len(slots.ids)),
            est_s=test.est_s,
            alone=bool(suite.roles) or test.id in alone,
            first=suite.id in on_several,
        )
        for place, (suite, test) in enumerate(tests)
    ]
