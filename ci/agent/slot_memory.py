"""Whether the memory of GPUs is free again before the next test gets them."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from .gpu_memory import WORTH_A_NAME_BYTES, Holder, Kfd

__all__ = ["Leak", "SlotMemory"]

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Memory of these GPUs that stays in use; `because` says how much, and who holds it."""

    gpu_ids: tuple[str, ...]
    because: str


@dataclass(slots=True, kw_only=True)
class SlotMemory:
    """The VRAM of a run's GPUs, against what was in use when the run began.

    `is_left` says whether a process is one that an ended attempt has left, and `end` ends such processes.
    """

    kfd: Kfd
    gpu_ids: Sequence[str]
    settle_s: float
    is_left: Callable[[int], bool]
    end: Callable[[Collection[int]], None]
    _before: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._before = dict(self.kfd.used_bytes(self.gpu_ids))

    @property
    def unknown(self) -> bool:
        """Whether the VRAM of some GPU cannot be seen."""
        return len(self._before) < len(self.gpu_ids)

    def leak(self, gpu_ids: Sequence[str], *, give_up: Callable[[], bool]) -> Leak | None:
        """What stays in use of these GPUs after their holders were ended and had `settle_s` to be gone; None: they are free."""
        until = time.monotonic() + self.settle_s
        while grown := self._grown(gpu_ids):
            left = self._holders(grown, ours=True)
            if left:
                self.end([holder.pid for holder in left])
            if give_up():
                return None
            if time.monotonic() >= until:
                return self._leak(grown)
            time.sleep(_LOOK_S)
        return None

    def _grown(self, gpu_ids: Sequence[str]) -> dict[str, int]:
        """By how much more than a context is in use, by GPU."""
        used = self.kfd.used_bytes(gpu_ids)
        more = {gpu: count - self._before[gpu] for gpu, count in used.items() if gpu in self._before}
        return {gpu: count for gpu, count in more.items() if count >= WORTH_A_NAME_BYTES}

    def _holders(self, gpus: Collection[str], *, ours: bool) -> Sequence[Holder]:
        return self.kfd.holders(gpus, lambda pid: self.is_left(pid) is not ours)

    def _leak(self, grown: dict[str, int]) -> Leak:
        amounts = ", ".join(f"{count / 2**30:.1f} GiB of GPU {gpu}" for gpu, count in grown.items())
        holders = [*self._holders(grown, ours=True), *self._holders(grown, ours=False)]
        who = "; ".join(holder.words for holder in holders) or "no process holds it that can be seen"
        return Leak(
            gpu_ids=tuple(grown),
            because=f"{amounts} still in use {self.settle_s:g} s after the test ended: {who}",
        )
