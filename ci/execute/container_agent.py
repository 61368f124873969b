"""The agent in a container: one exec, whose standard input is held open."""

from typing import IO

from ci.docker.container import BY_SIGNAL, Container, Watch
from ci.docker.exec import Exec
from ci.docker.stream import STDOUT
from ci.execute.agent_stream import Ending

__all__ = ["ContainerAgent"]


class ContainerAgent:
    """The agent as a process of a container; see RunningAgent."""

    def __init__(self, container: Container, command: Exec, *, token: str, log: IO[bytes]) -> None:
        """`token` is the run's, which all that the agent starts has; its standard error goes to `log`."""
        self._container = container
        self._exec = command
        self._token = token
        self._log = log
        self._watch = Watch(container)

    def read(self, wait_s: float) -> bytes | None:
        if self._exec.ended:
            return None
        self._watch.look()
        output = b""
        for stream, data in self._exec.read(wait_s):
            if stream == STDOUT:
                output += data
            else:
                self._log.write(data)
                self._log.flush()
        return output

    def close_stdin(self) -> None:
        self._exec.close_stdin()

    def kill(self) -> None:
        self._container.kill_token(self._token)

    def ending(self) -> Ending:
        code, ended_by, why = self._container.ending_of(self._exec)
        if ended_by is not None:
            return Ending(cause="; ".join((ended_by.cause, *ended_by.evidence)), then=ended_by.then)
        if code is not None and code > BY_SIGNAL:
            return Ending(cause=f"it was killed by signal {code - BY_SIGNAL}")
        return Ending(cause=why or f"it exited with {code}")

    def close(self) -> None:
        self._exec.close()
