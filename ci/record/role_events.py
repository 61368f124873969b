"""The events of the servers behind an attempt, each in its role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ci.catalog.verdicts import Verdict
from ci.record.event import AttemptEvent

__all__ = ["RoleEnded", "RoleReady", "RoleStarted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStarted(AttemptEvent):
    """The server of a role was started, on a node of the run, counted from 1; `log` is relative to the run folder."""

    type: ClassVar[str] = "role-started"

    role: str
    node: int = 1
    host: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleReady(AttemptEvent):
    """It answers, so many seconds after its start."""

    type: ClassVar[str] = "role-ready"

    role: str
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleEnded(AttemptEvent):
    """It has ended. `failed`: it was the first to fail, and `verdict` and `evidence` are what its log proves; `because` is
    empty for one that was told to end.
    """

    type: ClassVar[str] = "role-ended"

    role: str
    failed: bool = False
    verdict: Verdict = Verdict.PASSED
    because: str = ""
    evidence: tuple[str, ...] = ()
