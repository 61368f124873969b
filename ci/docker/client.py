"""The one door to the Docker SDK: a client, and its many kinds of failure as one.

The SDK raises requests' errors beside its own when a connection is lost, and hides what happened in the text of a
status 500: what is needed here is one exception with that text and the status.
"""

import contextlib
import ipaddress
import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ci.errors import InfrastructureError

__all__ = [
    "IMAGE_ANSWER_S",
    "Client",
    "EngineError",
    "Hijacked",
    "connect",
    "docker_host",
    "faults",
    "remote_because",
]

# one answer that is not a stream: it takes 1 to 230 ms
_ANSWER_S = 20.0
# one answer about an image: removing 60 GB takes a while
IMAGE_ANSWER_S = 60.0
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
    import urllib3.exceptions  # noqa: PLC0415  # below requests, which lets those of streams through

    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(str(error.explanation or error), status=error.status_code) from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise EngineError(str(error), status=None) from error


def docker_host(environ: Mapping[str, str]) -> tuple[str, str]:
    """The engine's address and where it comes from: `DOCKER_HOST`, else the default socket."""
    given = environ.get("DOCKER_HOST", "")
    if given:
        return given, "DOCKER_HOST"
    return "unix:///var/run/docker.sock", "default: the local engine's socket"


def remote_because(host: str) -> str:
    """Why the engine at an address cannot mount folders of this machine; empty when it is here."""
    scheme, _, _ = host.partition("://")
    if scheme == "unix":
        return ""
    if scheme == "ssh":
        return "it is reached by ssh: its containers see the folders of that machine"
    try:
        name = urlsplit(host).hostname or ""
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        # a host name, whatever it resolves to today
        loopback = False
    return "" if loopback else "it is on another machine: its containers see the folders of that machine"


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
        """Close the response that reads the connection, its wrapper and the connection: each alone keeps it open."""
        # in this order: a response looks at its wrapper while it closes
        for end in (self._stream._response, self._stream, self.socket):  # noqa: SLF001
            with contextlib.suppress(OSError):
                end.close()


def connect(host: str, *, timeout_s: float = _ANSWER_S) -> Client:
    """A client of an engine that answers.

    `timeout_s` is for one request's answer; the SDK does not apply it to streams.

    Raises:
        InfrastructureError: there is no engine, or it does not answer.
    """
    try:
        with faults():
            _listens(host, timeout_s)
            return _client(host, math.ceil(timeout_s))
    except EngineError as error:
        raise InfrastructureError(
            f"the Docker engine at {host} does not answer: {error.text}",
            cause="it is not running, or this user has no access to its socket",
            then="docker info; another engine: DOCKER_HOST=unix:///path/to.sock",
        ) from error


def _client(host: str, timeout_s: int) -> Client:
    """A client of the engine's own version; one that got no answer is closed, which the SDK's own way to ask does not do."""
    import docker  # noqa: PLC0415
    from docker.constants import MINIMUM_DOCKER_API_VERSION  # noqa: PLC0415

    asking = docker.DockerClient(base_url=host, version=MINIMUM_DOCKER_API_VERSION, timeout=timeout_s)
    with contextlib.closing(asking):
        try:
            version = asking.version(api_version=False)["ApiVersion"]
        except (KeyError, TypeError) as error:
            # the SDK itself looks for words in an answer that has none
            raise EngineError("what answers is not a Docker engine", status=None) from error
    return docker.DockerClient(base_url=host, version=version, timeout=timeout_s)


def _listens(host: str, timeout_s: float) -> None:
    """Raise OSError when nothing listens on a local socket: the SDK would leave its own end of it open."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(timeout_s)
            probe.connect(host.removeprefix("unix://"))
