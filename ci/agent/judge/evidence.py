"""What a log holds that may be evidence, as the judge takes it."""

from dataclasses import dataclass, field

from .tracebacks import ProcessEnd, RaisedError
from .values import FailedCase

__all__ = ["End", "Message", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A line of the log, by its number from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A process that ended, and where the log says so; `aborted`: by a signal that a GPU's runtime may have caused."""

    line: int
    process: ProcessEnd
    aborted: bool = False


@dataclass(slots=True)
class Reading:
    """All that a log holds. `printed` are errors that some code printed, with the line; `newest` are the last lines.

    `step_failed` is the line in which a runner says for the first time that a step failed: what follows it cleans up. `holders`
    are processes of others that hold memory of the GPUs, in words. `retried` is what SGLang's retry of a test's method was last
    about. `serves`: a server of the test's own was started; `served_since` is the line of the newest start that
    succeeded, of servers beside each other that of the first one.
    `models`: those that the newest server's command names. `hung` is what ran when a watchdog of the test's own dumped its stacks,
    unless that waited for another host, or the tests went on.
    """

    cases: list[FailedCase] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    printed: list[tuple[int, tuple[RaisedError, ...]]] = field(default_factory=list)
    gpu: list[Message] = field(default_factory=list)
    kernel: list[Message] = field(default_factory=list)
    tools: list[Message] = field(default_factory=list)
    rccl: list[Message] = field(default_factory=list)
    newest: tuple[str, ...] = ()
    step_failed: int | None = None
    holders: tuple[str, ...] = ()
    retried: RaisedError | None = None
    serves: bool = False
    served_since: int = 0
    models: tuple[str, ...] = ()
    hung: ProcessEnd | None = None
