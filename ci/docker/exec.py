"""One exec in a container: argv in, its two streams out, an integer exit code at the end.

The SDK applies no deadline to a stream and ends it cleanly when the engine ends, so the hijacked connection is read here
and its end proves nothing: only an integer exit code of an exec that no longer runs does.
"""

import contextlib
import selectors
import socket
from collections.abc import Callable, Mapping, Sequence

from ci.docker.client import Client, EngineError, Hijacked, faults
from ci.docker.stream import FrameError, Frames
from ci.system import clock

__all__ = ["Exec"]

_READ_BYTES = 1 << 16


class Exec:
    """A command that runs in a container. Its standard input is a pipe that `close_stdin` ends."""

    def __init__(
        self,
        client: Client,
        container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
    ) -> None:
        """Start it.

        Raises:
            EngineError: the engine refused (no such container, not running) or is gone.
        """
        self._client = client
        self._frames = Frames()
        self.started_s = clock.utc_now().timestamp()
        self.ended = False
        with faults():
            created = client.api.exec_create(
                container,
                list(argv),
                stdin=True,
                environment=[f"{name}={value}" for name, value in env.items()],
                workdir=cwd,
            )
            self.id: str = created["Id"]
            self._connection = Hijacked(client.api.exec_start(self.id, socket=True))
        self._socket = self._connection.socket
        self._early = self._connection.early
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def read(self, wait_s: float) -> list[tuple[int, bytes]]:
        """What has come, as (stream, bytes); empty when nothing came within `wait_s`. Sets `ended` at the end of the stream."""
        if self._early:
            data, self._early = self._early, b""
        elif self.ended or not self._selector.select(wait_s):
            return []
        else:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return []
            except OSError:
                data = b""
        if not data:
            self.ended = True
            return []
        try:
            return self._frames.feed(data)
        except FrameError:
            self.ended = True
            return []

    def close_stdin(self) -> None:
        """End its standard input; safe in a signal handler, and when called again."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Give the connection back; the command goes on, its standard input ends."""
        self._selector.close()
        self._connection.close()

    def code(
        self, *, wait_s: float, monotonic_s: Callable[[], float], sleep_s: Callable[[float], None]
    ) -> int:
        """Its exit code; the engine needs a moment after the end of the stream.

        Raises:
            EngineError: the engine does not know it any more or is gone, or it still runs after `wait_s`.
        """
        deadline = monotonic_s() + wait_s
        while True:
            with faults():
                state = self._client.api.exec_inspect(self.id)
            code = state.get("ExitCode")
            if isinstance(code, int) and not state.get("Running"):
                return code
            if monotonic_s() > deadline:
                raise EngineError(
                    f"the exec has no exit code {wait_s:g} s after the end of its stream", status=0
                )
            sleep_s(0.02)
