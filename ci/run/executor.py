"""What `ci.cli.run` asks of an executor, whichever it is."""

from collections.abc import Iterator
from typing import Any, Protocol, Self

from ci.run.sweep import Found

__all__ = ["Executor"]


class Executor(Protocol):
    """Starts the agent somewhere and hands out its events. A context manager: nothing is left after it."""

    @property
    def swept(self) -> tuple[Found, ...]:
        """What outlived the agent and was ended."""

    def start(self, spec: dict[str, Any]) -> None:
        """Take the spec; what takes long happens in `events`.

        Raises:
            InfrastructureError: it can't be started.
        """

    def events(self) -> Iterator[dict[str, Any]]:
        """Phases, then the agent's events, to the end; the last is `agent-ended` or `executor-failed`."""

    def stop(self) -> None:
        """End the tests and whatever phase is under way; safe in a signal handler, and when called again."""

    def close(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
