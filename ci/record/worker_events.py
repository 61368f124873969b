"""The events of a run on several nodes: its workers, and its job in Slurm."""

from dataclasses import dataclass
from typing import ClassVar

from ci.record.event import Event
from ci.record.values import EndReason, Leftover, TestName

__all__ = ["Job", "WorkerEnded", "WorkerLost", "WorkerStarted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted(Event):
    """The agent of a worker runs; `slots` is how many tests it runs at a time."""

    type: ClassVar[str] = "worker-started"

    node: str = ""
    host: str = ""
    pid: int = 0
    python: str = ""
    executable: str = ""
    platform: str = ""
    slots: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnded(Event):
    """The agent of a worker has ended; `leftovers` are what its last sweep had to kill."""

    type: ClassVar[str] = "worker-ended"

    reason: EndReason = EndReason.DONE
    leftovers: tuple[Leftover, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """A worker is gone that did not say that it ended; `tests` are those of its tests that another worker may run."""

    type: ClassVar[str] = "worker-lost"

    node: str = ""
    because: str = ""
    tests: tuple[TestName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Event):
    """Slurm's job of this run, at its submission and whenever its state changes; `reason` is Slurm's own word."""

    type: ClassVar[str] = "job"

    job: str
    cluster: str = ""
    state: str = ""
    reason: str = ""
    nodes: tuple[str, ...] = ()
