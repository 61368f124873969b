"""The agent's events out of its standard output, until it ends: one loop, wherever it runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ci.errors import InfrastructureError
from ci.plan.model import Plan
from ci.record.event_json import parse_line
from ci.record.events import AgentEnded, By, Event, Note
from ci.system import clock

__all__ = ["AgentStream", "Ending", "RunningAgent", "overall_s"]

# how often a silent agent's deadlines are looked at
_LOOK_S = 0.2
# past the suites' own limits by this much, the agent itself hangs: its graces, sweeps and reports take less than 20 s
_OVERRUN_S = 120.0
_SHOWN_CHARS = 80
_NOTE_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an agent ended, for people; `then` is the next command when it is not to read the agent's log."""

    cause: str
    then: str = ""


class RunningAgent(Protocol):
    """An agent that was started somewhere."""

    def read(self, wait_s: float) -> bytes | None:
        """The next piece of its standard output: empty when none came within `wait_s`, None at the end.

        Raises:
            InfrastructureError: what it runs in has failed.
        """

    def close_stdin(self) -> None:
        """Request its stop; safe in a signal handler, and when called again."""

    def kill(self) -> None:
        """Kill it and all that it has started."""

    def ending(self) -> Ending:
        """How it ended; called after the end of its output."""

    def close(self) -> None:
        """Leave nothing of it behind; safe when called again."""


class AgentStream:
    """The events of one agent. `stop` may be called from a signal handler or another thread at any time."""

    def __init__(
        self,
        agent: RunningAgent,
        *,
        overall_s: float,
        stop_s: float,
        log: Path,
        monotonic_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        """An agent that is still running after `overall_s` is stopped, `stop_s` after a stop it is killed.

        `log` holds its standard error.
        """
        self._agent = agent
        self._stop_s = stop_s
        self._log = log
        self._now = monotonic_s
        self._stop_at = monotonic_s() + overall_s
        self._kill_at: float | None = None

    def stop(self, *, at_once: bool = False) -> None:
        """End its standard input, on which it ends its tests; `at_once`: kill it and them."""
        self._agent.close_stdin()
        if self._kill_at is None or at_once:
            self._kill_at = self._now() + (0.0 if at_once else self._stop_s)

    def events(self) -> Iterator[Event]:
        """Its events as they come; a line that is not an event is a `note`.

        Raises:
            InfrastructureError: the stream ended without `agent-ended`, and why. An end by itself is never a success.
        """
        ended, seq, rest = False, 0, b""
        try:
            while (data := self._agent.read(_LOOK_S)) is not None:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    event = _event_of(line)
                    seq = event.seq or seq
                    ended = ended or isinstance(event, AgentEnded)
                    yield event
                now = self._now()
                if self._kill_at is not None and now > self._kill_at:
                    self._agent.kill()
                    break
                if now > self._stop_at:
                    self.stop()
            if not ended:
                killed = data is not None
                ending = (
                    Ending(cause="it did not end in time and was killed") if killed else self._agent.ending()
                )
                raise self._failure(ending, seq, rest)
        finally:
            self._agent.close()

    def _failure(self, ending: Ending, seq: int, rest: bytes) -> InfrastructureError:
        cause = ending.cause
        if rest:
            cause += f"; the last line was cut: {rest[:_SHOWN_CHARS].decode(errors='replace')!r}"
        last = self._last_logged()
        if last:
            cause += f"; its log ends: {last}"
        return InfrastructureError(
            f"the agent's stream ended after event {seq} without agent-ended",
            cause=cause,
            then=ending.then or f"read {self._log}",
        )

    def _last_logged(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def overall_s(plan: Plan) -> float:
    """The longest that the agent of this plan may run: it keeps the suites' limits itself, unless it hangs."""
    return sum(suite.timeout_s for suite in plan.work.suites) + _OVERRUN_S


def _event_of(line: bytes) -> Event:
    event, wrong = parse_line(line)
    if event is None:
        return Note(text=f"not an event{wrong}: {line[:_NOTE_CHARS].decode(errors='replace')}")
    return replace(event, by=By.AGENT)
