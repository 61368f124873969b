"""What `ci.cli.run` asks of an executor, whichever it is."""

import json
from collections.abc import Iterator
from typing import Any, Protocol, Self

from ci.execute.process_sweep import Found

__all__ = ["OVERRUN_S", "Executor", "event_of"]

# past the suites' own limits by this much, the agent itself hangs: its graces, sweeps and reports take less than 20 s
OVERRUN_S = 120.0


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
        """Phases and the agent's events, to the end; it holds `agent-ended` or `executor-failed`.

        Events of the agent have a `seq`, those of the executor have none.
        """

    def stop(self) -> None:
        """End the tests and whatever phase is under way; safe in a signal handler, and when called again."""

    def close(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def event_of(line: bytes) -> dict[str, Any]:
    """A line of the agent's output; one that is no event is a `note`."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("type"), str):
        return event
    return {"type": "note", "text": f"not an event: {line[:200].decode(errors='replace')}"}
