"""The agent in a container: one exec, its events out, its standard input a lifeline."""

from collections.abc import Iterator, Mapping
from typing import IO, Any

from ci.docker.container import BY_SIGNAL, LOOK_S, Container, Watch
from ci.docker.exec import Exec
from ci.docker.stream import STDOUT
from ci.errors import InfrastructureError
from ci.execute.agent_file import AGENT_NAME
from ci.execute.executor import event_of
from ci.plan.container.needs import BIN_DIR
from ci.system import clock

__all__ = ["ContainerAgent", "agent_argv"]


class ContainerAgent:
    """Runs the agent and hands out its events. `stop` may come from a signal handler at any moment."""

    def __init__(self, container: Container, *, stop_s: float, token: str) -> None:
        """The agent is killed `stop_s` after a stop. `token` is the run's: all that the agent starts carries it."""
        self._container = container
        self._stop_s = stop_s
        self._token = token
        self._exec: Exec | None = None
        self._kill_at: float | None = None
        self._killed = False

    def stop(self) -> None:
        """End its standard input: it ends its tests, and is killed when that takes too long."""
        if self._exec is not None:
            self._exec.close_stdin()
        if self._kill_at is None:
            self._kill_at = clock.monotonic_s() + self._stop_s

    def events(
        self, argv: list[str], *, env: Mapping[str, str], cwd: str, overall_s: float, log: IO[bytes]
    ) -> Iterator[dict[str, Any]]:
        """Its events to the end of its stream; its own diagnostics go to `log`.

        Raises:
            InfrastructureError: the stream ended without `agent-ended`, and what died.
        """
        self._exec = self._container.start_exec(argv, env=env, cwd=cwd)
        if self._kill_at is not None:
            self._exec.close_stdin()
        ended, seq, rest = False, 0, b""
        deadline = clock.monotonic_s() + overall_s
        watch = Watch(self._container)
        try:
            while not self._exec.ended:
                for stream, data in self._exec.read(LOOK_S):
                    if stream != STDOUT:
                        log.write(data)
                        log.flush()
                        continue
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        event = event_of(line)
                        seq = event.get("seq", seq)
                        ended = ended or event["type"] == "agent-ended"
                        yield event
                now = clock.monotonic_s()
                if self._kill_at is not None and now > self._kill_at:
                    self._kill()
                    break
                if now > deadline:
                    self.stop()
                watch.look()
            if not ended:
                raise self._failure(self._exec, seq, rest)
        finally:
            self._exec.close()

    def _kill(self) -> None:
        if not self._killed:
            self._killed = True
            self._container.kill_token(self._token)

    def _failure(self, command: Exec, seq: int, rest: bytes) -> InfrastructureError:
        """What ended the stream; a clean end of it is never a success."""
        what = f"the agent's stream ended after event {seq} without agent-ended"
        cut = f"; the last line was cut: {rest[:80].decode(errors='replace')!r}" if rest else ""
        if self._killed:
            cause = "it did not end in time and was killed"
            return InfrastructureError(what, cause=cause + cut, then="read logs/agent.log of the run folder")
        code, death, why = self._container.ending_of(command)
        if death is not None:
            cause = "; ".join((death.cause, *death.evidence))
            return InfrastructureError(what, cause=cause + cut, then=death.then)
        cause = why or f"it exited with {code}"
        if code is not None and code > BY_SIGNAL:
            cause = f"it was killed by signal {code - BY_SIGNAL}"
        return InfrastructureError(what, cause=cause + cut, then="read logs/agent.log of the run folder")


def agent_argv(python: str, spec: str) -> list[str]:
    """How the agent is called inside."""
    return [python, f"{BIN_DIR}/{AGENT_NAME}", spec]
