"""The one door to the Docker SDK: a client, and its many kinds of failure as one.

The SDK raises requests' errors beside its own when a connection is lost, and hides what happened in the text of a
status 500: what is needed here is one exception with that text and the status.
"""

import contextlib
import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ci.errors import InfrastructureError

__all__ = ["Client", "EngineError", "Hijacked", "connect", "docker_host", "faults"]

# docker.DockerClient; the SDK is imported on first use: it takes a third of a second
Client = Any


class EngineError(Exception):
    """The engine refused or could not be reached. `status` is its HTTP status, None when there was no answer."""

    def __init__(self, text: str, *, status: int | None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    @property
    def gone(self) -> bool:
        """Whether the engine itself could not be reached, as against a refusal of it."""
        return self.status is None


@contextmanager
def faults() -> Iterator[None]:
    """Turn every failure of the SDK inside into an EngineError.

    Raises:
        EngineError: the SDK or its connection failed.
    """
    import docker.errors  # noqa: PLC0415
    import requests  # noqa: PLC0415  # comes with the SDK, which lets its exceptions through

    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(str(error.explanation or error), status=error.status_code) from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise EngineError(str(error), status=None) from error


def docker_host(environ: Mapping[str, str]) -> tuple[str, str]:
    """The engine's address and where it comes from: `DOCKER_HOST`, else the default socket."""
    given = environ.get("DOCKER_HOST", "")
    if given:
        return given, "DOCKER_HOST"
    return "unix:///var/run/docker.sock", "default: the local engine's socket"


class Hijacked:
    """A connection that the engine has turned into a plain stream: an attachment or an exec.

    The SDK hands out a wrapper of which the connection, and what the HTTP library has already read of it, are private.
    """

    def __init__(self, stream: Any) -> None:
        """`stream` is what `attach_socket` or `exec_start(socket=True)` returned."""
        self._stream = stream
        self.socket: socket.socket = stream._sock  # noqa: SLF001
        self.socket.setblocking(False)
        self.early: bytes = b""
        with contextlib.suppress(BlockingIOError):
            # what came together with the response's headers
            self.early = stream._response.raw._fp.fp.read1() or b""  # noqa: SLF001

    def close(self) -> None:
        """Close both the wrapper and the connection: one alone keeps it open."""
        for end in (self.socket, self._stream):
            with contextlib.suppress(OSError):
                end.close()


def connect(host: str, *, timeout_s: float) -> Client:
    """A client of an engine that answers.

    `timeout_s` is for one request's answer; the SDK does not apply it to streams.

    Raises:
        InfrastructureError: there is no engine, or it does not answer.
    """
    import docker  # noqa: PLC0415

    try:
        with faults():
            client = docker.DockerClient(base_url=host, version="auto", timeout=math.ceil(timeout_s))
            client.ping()
    except EngineError as error:
        raise InfrastructureError(
            f"the Docker engine at {host} does not answer: {error.text}",
            cause="it is not running, or this user may not use its socket",
            then="docker info; another engine: DOCKER_HOST=unix:///path/to.sock",
        ) from error
    return client
