"""The slots of a run, and what its tests want of them: on GPUs, or on parts of the CPU in their place."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from .rule import Slots, Waiting

__all__ = ["slots_for", "waiting_for"]


class _Test(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def est_s(self) -> float: ...


def slots_for(gpu_ids: tuple[str, ...], jobs: int, groups: Mapping[str, tuple[str, ...]]) -> Slots:
    """The GPUs of a run, or as many CPU slots as it has tests at a time."""
    return Slots(ids=gpu_ids or tuple(map(str, range(jobs))), at_once=jobs, groups=groups)


def waiting_for(
    tests: Iterable[tuple[int, _Test]], slots: Slots, *, on_gpus: bool, alone: Collection[str]
) -> list[Waiting]:
    """The tests, each with the GPUs of its suite, before they are ordered.

    On the CPU a test has as many slots as it would have GPUs, where there are so many. `alone` are the ids of those beside which
    nothing runs.
    """
    return [
        Waiting(
            place=place,
            needs=gpus if on_gpus else min(max(1, gpus), len(slots.ids)),
            est_s=test.est_s,
            alone=test.id in alone,
        )
        for place, (gpus, test) in enumerate(tests)
    ]
