"""The states of a job as Slurm names them, and what follows from each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ci.catalog.verdicts import Tone, Verdict

__all__ = ["JobState", "StateRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """What follows from a state.

    `verdict` is that of tests which the job did not come to; None while it may still come to them. `begun`: it has its nodes, or
    had them. `halted`: it has begun, and does not go on for now. `tone` is how it is coloured: `warn` unless all is well.
    """

    words: str
    verdict: Verdict | None = None
    begun: bool = True
    halted: bool = False
    tone: Tone = "warn"

    @property
    def ended(self) -> bool:
        """Whether the job is over for good."""
        return self.verdict is not None


class JobState(StrEnum):
    """A state of a job; a member carries its row."""

    row: StateRow

    def __new__(cls, value: str, row: StateRow) -> Self:
        """Make a member out of its value and its row."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.row = row
        return member

    PENDING = ("PENDING", StateRow(words="waits for its nodes", begun=False))
    CONFIGURING = ("CONFIGURING", StateRow(words="waits for its nodes to be ready", begun=False))
    RUNNING = ("RUNNING", StateRow(words="runs", tone="plain"))
    COMPLETING = ("COMPLETING", StateRow(words="ends its last processes", tone="plain"))
    SUSPENDED = ("SUSPENDED", StateRow(words="is suspended", halted=True))
    STOPPED = ("STOPPED", StateRow(words="is stopped by a signal", halted=True))
    SIGNALING = ("SIGNALING", StateRow(words="is sent a signal"))
    RESIZING = ("RESIZING", StateRow(words="changes its size"))
    STAGE_OUT = ("STAGE_OUT", StateRow(words="writes its files back"))
    REQUEUED = ("REQUEUED", StateRow(words="waits to be started again", begun=False))
    REQUEUE_FED = ("REQUEUE_FED", StateRow(words="waits to be started again", begun=False))
    REQUEUE_HOLD = ("REQUEUE_HOLD", StateRow(words="is held before it is started again", begun=False))
    SPECIAL_EXIT = ("SPECIAL_EXIT", StateRow(words="is held after a special exit code", begun=False))
    RESV_DEL_HOLD = ("RESV_DEL_HOLD", StateRow(words="is held: its reservation was deleted", begun=False))
    COMPLETED = ("COMPLETED", StateRow(words="ended with exit code 0", verdict=Verdict.INFRA, tone="plain"))
    FAILED = ("FAILED", StateRow(words="ended with an error", verdict=Verdict.INFRA))
    TIMEOUT = ("TIMEOUT", StateRow(words="reached its time limit", verdict=Verdict.TIMEOUT))
    DEADLINE = ("DEADLINE", StateRow(words="reached its deadline", verdict=Verdict.TIMEOUT))
    CANCELLED = ("CANCELLED", StateRow(words="was cancelled", verdict=Verdict.CANCELLED))
    NODE_FAIL = ("NODE_FAIL", StateRow(words="lost a node", verdict=Verdict.INFRA))
    PREEMPTED = ("PREEMPTED", StateRow(words="gave way to another job", verdict=Verdict.INFRA))
    BOOT_FAIL = ("BOOT_FAIL", StateRow(words="had a node that did not start", verdict=Verdict.INFRA))
    # Slurm counts what the job itself has used against the memory that it was given
    OUT_OF_MEMORY = (
        "OUT_OF_MEMORY",
        StateRow(words="used more memory than it was given", verdict=Verdict.PRODUCT),
    )
    REVOKED = ("REVOKED", StateRow(words="was taken over by another cluster", verdict=Verdict.INFRA))
    # of a newer Slurm: not the end, or its end would be seen too early
    UNKNOWN = ("UNKNOWN", StateRow(words="is in a state that is not known here"))

    @classmethod
    def of(cls, text: str) -> "JobState":
        """The state of Slurm's words: `CANCELLED by 0` has who did it."""
        name = text.partition(" ")[0].rstrip("+")
        return cls.__members__.get(name, cls.UNKNOWN)
