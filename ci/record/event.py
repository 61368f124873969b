"""What every event of a run has, and what those about a test or an attempt have besides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

__all__ = ["AttemptEvent", "By", "Event", "RunEvent"]


class By(StrEnum):
    """Who wrote an event; `reader` is for lines that could not be read."""

    AGENT = "agent"
    CI = "ci"
    READER = "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has. `time` is UTC; `seq` and `elapsed_s` count from the agent's start and are the agent's alone.
    `at_s` are the seconds from the run's start until the event was recorded, by a clock that nobody sets. `worker` is the number of
    the worker that sent it, or `head`; empty in a run on one machine. Each worker has its own `seq` and `elapsed_s`.

    `more` has what another version wrote besides the fields of this one.
    """

    type: ClassVar[str] = ""

    time: str = ""
    seq: int | None = None
    elapsed_s: float | None = None
    at_s: float | None = None
    worker: str = ""
    by: By = By.CI
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """An event about a suite or a test, by its ids; both are empty in one about the run."""

    suite: str = ""
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent(RunEvent):
    """An event about one attempt at a test."""

    attempt: int | None = None

    @property
    def number(self) -> int:
        """The attempt, from 1."""
        return self.attempt or 1
