"""What a run asks of an executor, whichever it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from ci.catalog.catalog import Catalog
from ci.catalog.verdicts import Verdict
from ci.errors import CiError, UsageError
from ci.execute.process_sweep import Found
from ci.execute.run_folder import RunFolder
from ci.execute.spec import Spec
from ci.plan.model import Plan
from ci.record.events import Event, ExecutorFailed

__all__ = ["Executor", "ExecutorModule", "FollowedElsewhereError", "RunInputs", "failed_event"]


class FollowedElsewhereError(UsageError):
    """Another process writes the record of this run and its reports."""


class Executor(Protocol):
    """Starts the agent somewhere and hands out its events. A context manager: nothing is left after it."""

    @property
    def swept(self) -> tuple[Found, ...]:
        """What outlived the agent and was ended."""

    def start(self, spec: Spec) -> None:
        """Take the spec; what takes long happens in `events`.

        Raises:
            InfrastructureError: it cannot be started.
            FollowedElsewhereError: it runs, and another process follows it.
        """

    def events(self) -> Iterator[Event]:
        """Phases and the agent's events, to the end; they contain `agent-ended` or `executor-failed`."""

    @property
    def stop_s(self) -> float:
        """The longest that a stop takes."""

    def stop(self, *, at_once: bool = False) -> None:
        """End the tests and whatever phase is under way; safe in a signal handler, and when called again.

        `at_once`: kill the tests and give them no time to end.
        """

    @property
    def goes_on(self) -> bool:
        """Whether something runs on without us: after `detach`, where another process follows it, and where `close` could not end it."""

    def detach(self) -> str:
        """Let go of what can go on without us, and say what does; empty where nothing can. Safe in a signal handler."""

    def close(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What an executor is made from. `environ` is the caller's: only what the plan passes through reaches the tests.

    `before_agent` are words that stand before the agent's own command, where the executor starts it on this machine.
    """

    plan: Plan
    folder: RunFolder
    catalog: Catalog
    token: str
    environ: Mapping[str, str]
    before_agent: tuple[str, ...] = ()


class ExecutorModule(Protocol):
    """A module of the registry: how runs of one executor are done."""

    def open_executor(self, run: RunInputs, /) -> Executor:
        """The executor of one run; nothing is started yet."""


def failed_event(error: CiError, *, stopped: bool) -> ExecutorFailed:
    """The `executor-failed` event of an error; `stopped` when the run was being stopped, which then is the verdict."""
    return ExecutorFailed(
        what=error.what,
        cause=error.cause,
        then=error.then,
        problems=tuple(str(problem) for problem in error.problems),
        verdict=Verdict.CANCELLED if stopped else Verdict.of_phase(error.exit_code),
    )
