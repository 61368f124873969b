"""The guard of the unit tests itself: a test that reaches out fails, and says why."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest


def test_a_connection_to_another_host_is_refused() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 80))


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_datagram_to_another_host_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(RuntimeError, match=r"192\.0\.2\.1"):
        client.sendto(b"x", ("192.0.2.1", 53))


def test_a_server_on_loopback_is_reached() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"


def test_a_process_is_refused_without_the_marker() -> None:
    with pytest.raises(RuntimeError, match="mark it `processes`"):
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_a_process_from_a_thread_is_refused_too() -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(caught) == 1


@pytest.mark.processes
def test_a_process_is_started_with_the_marker() -> None:
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], check=True, capture_output=True)
    assert done.stdout == b"42\n"


def test_the_environment_is_empty(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "CI" not in os.environ
    assert not [name for name in os.environ if name.startswith("GITHUB_")]
    assert tmp_path_factory.getbasetemp() in Path.home().parents
    assert time.strftime("%z") == "+0530"
