"""What `ci.cli.run` asks of an executor, whichever it is."""

from collections.abc import Iterator
from typing import Any, Protocol, Self

from ci.catalog.verdicts import Verdict
from ci.errors import CiError
from ci.execute.process_sweep import Found

__all__ = ["Executor", "failed_event"]


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


def failed_event(error: CiError, *, stopped: bool) -> dict[str, Any]:
    """The `executor-failed` event of an error; `stopped` when the run was being stopped, which then is the verdict."""
    return {
        "type": "executor-failed",
        "what": error.what,
        "cause": error.cause,
        "then": error.then,
        "problems": [str(problem) for problem in error.problems],
        "verdict": Verdict.CANCELLED if stopped else Verdict.of_phase(error.exit_code),
    }
