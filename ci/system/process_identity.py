"""A process that can be distinguished from a later one with the same pid."""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner", "owner_of_self"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that can be distinguished from a later one with the same pid: start in clock ticks since that boot."""

    pid: int
    start_ticks: int
    boot_id: str

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return self.boot_id == _boot_id() and self.start_ticks == _start_ticks(self.pid)


def owner_of_self() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(pid=pid, start_ticks=_start_ticks(pid), boot_id=_boot_id())


def _start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat; -1 when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return -1
    # the command in field 2 may hold spaces and brackets: fields are counted after the last bracket
    return int(text.rpartition(")")[2].split()[19])


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
