"""The door to the Docker SDK: which engines are of use, and failures as one kind."""

import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3.exceptions

from ci.docker.client import EngineError, connect, faults, remote_because
from ci.errors import InfrastructureError


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("unix:///var/run/docker.sock", ""),
        ("tcp://127.0.0.1:2375", ""),
        ("tcp://127.8.0.1:2375", ""),
        ("tcp://[::1]:2375", ""),
        ("tcp://localhost:2375", ""),
        ("tcp://10.0.0.7:2375", "another machine"),
        ("tcp://localhost.example:2375", "another machine"),
        ("https://docker:2376", "another machine"),
        ("tcp://", "another machine"),
        ("ssh://ci@localhost", "by ssh"),
    ],
)
def test_only_an_engine_of_this_machine_can_mount_its_folders(host: str, words: str) -> None:
    found = remote_because(host)
    assert words in found
    assert bool(found) == bool(words)


def test_a_stream_that_breaks_below_the_sdk_is_an_engine_that_is_gone() -> None:
    with pytest.raises(EngineError) as caught, faults():
        raise urllib3.exceptions.ProtocolError("Connection broken")
    assert caught.value.gone
    assert "Connection broken" in caught.value.text


@contextmanager
def serving(path: Path, answer: bytes) -> Iterator[str]:
    """A socket whose every connection gets this answer and no other."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(1 << 16):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{path}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


class TestConnecting:
    """A socket that is left open shows as a ResourceWarning when it is collected."""

    def refused(self, host: str) -> str:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(InfrastructureError) as caught:
                connect(host, timeout_s=5)
            text = caught.value.render()
            caught = None  # type: ignore[assignment]  # its traceback would keep the sockets
            gc.collect()
        assert [str(one.message) for one in seen if one.category is ResourceWarning] == []
        return text

    def test_nothing_listens(self, tmp_path: Path) -> None:
        assert "no.sock does not answer" in self.refused(f"unix://{tmp_path}/no.sock")

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            b"",
        ],
    )
    def test_who_listens_is_not_an_engine(self, tmp_path: Path, answer: bytes) -> None:
        with serving(tmp_path / "s", answer) as host:
            assert "does not answer" in self.refused(host)


def test_what_the_engine_said_is_the_errors_text() -> None:
    error = EngineError("no space left", status=500)
    assert (str(error), error.text, error.status) == ("no space left", "no space left", 500)
