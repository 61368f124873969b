"""What the machine did while an attempt ran: the kernel's messages, OOM kills, and who else holds memory of its GPUs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .gpu_memory import Holder, Kfd
from .kernel_log import KernelLog, own_groups
from .processes import OomKills, carries, oom_kills

__all__ = ["MachineFacts", "MachineWatch", "watch_machine"]

# no GPU has this address: lines that name one are left out
_NO_ADDRESS = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What was seen; `holders` are other processes in words, `unknown` says what could not be seen, and why.

    `oom_kills` are those of our own cgroup. Where that cannot be read, `foreign_kills` counts the whole machine's.
    """

    kernel_log: tuple[str, ...] = ()
    oom_kills: int = 0
    foreign_kills: int = 0
    holders: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def kills_of(self, *, was_killed: bool) -> int:
        """The OOM kills that may explain the end of a process: the whole machine's only if it was killed."""
        return self.oom_kills + (self.foreign_kills if was_killed else 0)


@dataclass(slots=True, kw_only=True)
class MachineWatch:
    """Looks at the machine from now on until `end`.

    `is_own` says whether a process is of this run; `alone`, that no other attempt runs beside this one.
    """

    gpu_ids: Sequence[str]
    is_own: Callable[[int], bool]
    alone: bool
    kfd: Kfd
    kernel_log: KernelLog = field(default_factory=KernelLog)
    count: Callable[[], OomKills] = oom_kills
    _before: OomKills = field(init=False)
    _holders: tuple[Holder, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self.count()
        self._holders = self.kfd.holders(self.gpu_ids, self.is_own)

    def end(self) -> MachineFacts:
        """What has happened since."""
        now = self.count()
        kills = max(0, now.count - self._before.count)
        addresses = self.kfd.pci_of(self.gpu_ids)
        if not addresses and not self.alone:
            addresses = (_NO_ADDRESS,)
        lines = self.kernel_log.end(pci=addresses, groups=own_groups(_cgroup()))
        unknown = [self.kernel_log.unknown] if self.kernel_log.unknown else []
        if kills and not now.own:
            unknown.append(
                f"{kills} OOM kills on this machine; whose is unknown: our own cgroup has no counter"
            )
        return MachineFacts(
            kernel_log=lines,
            oom_kills=kills if now.own else 0,
            foreign_kills=0 if now.own else kills,
            holders=tuple(holder.words for holder in self._all_holders()),
            unknown=tuple(unknown),
        )

    def _all_holders(self) -> "list[Holder]":
        """Those at the beginning and at the end, the largest first."""
        found: dict[int, Holder] = {}
        for holder in (*self._holders, *self.kfd.holders(self.gpu_ids, self.is_own)):
            known = found.get(holder.pid)
            if known is None or known.held_bytes < holder.held_bytes:
                found[holder.pid] = holder
        return sorted(found.values(), key=lambda holder: -holder.held_bytes)


def watch_machine(gpu_ids: Sequence[str], *, token: str, alone: bool) -> MachineWatch:
    """The watch over this machine for an attempt on these GPUs; what carries the run's token is of the run."""
    return MachineWatch(
        gpu_ids=gpu_ids,
        is_own=lambda pid: carries(pid, f"AMD_CI_TOKEN={token}"),
        alone=alone,
        kfd=Kfd(renumbered="ROCR_VISIBLE_DEVICES" in os.environ),
    )


def _cgroup() -> str:
    try:
        return Path("/proc/self/cgroup").read_text()
    except OSError:
        return ""
