"""One command in a container: its two streams, its end, and a code that is only believed when the engine says it."""

from collections.abc import Iterator

import pytest

from ci.docker.client import EngineError
from ci.docker.exec import Exec
from support.docker_client import FakeClient, FakeExec, docker_error, frame


@pytest.fixture
def client() -> Iterator[FakeClient]:
    made = FakeClient()
    yield made
    made.close()


def started(client: FakeClient, one: FakeExec | None = None) -> Exec:
    if one is not None:
        client.execs.append(one)
    return Exec(client, "box", ["echo", "a b"], env={"A": "1"}, cwd="/w")


def all_of(command: Exec) -> list[tuple[int, bytes]]:
    pieces = []
    while not command.ended:
        pieces += command.read(5)
    command.close()
    return pieces


def test_argv_environment_and_folder_are_the_engines_with_an_open_standard_input(client: FakeClient) -> None:
    all_of(started(client))
    assert client.started == [
        {"container": "box", "argv": ["echo", "a b"], "stdin": True, "environment": ["A=1"], "workdir": "/w"}
    ]


def test_both_streams_come_apart_with_what_came_before_the_first_read(client: FakeClient) -> None:
    first, rest = frame(1, b"out"), frame(2, b"err")
    command = started(client, FakeExec(early=first[:5], sends=first[5:] + rest))
    assert all_of(command) == [(1, b"out"), (2, b"err")]


def test_silence_is_not_the_end(client: FakeClient) -> None:
    command = started(client, FakeExec(hold=True))
    assert command.read(0.01) == []
    assert not command.ended
    client.far_end().sendall(frame(1, b"late"))
    assert command.read(5) == [(1, b"late")]
    command.close_stdin()
    assert client.far_end().recv(1) == b"", "its standard input has ended"
    command.close()
    command.close_stdin()


def test_what_is_no_frame_ends_the_stream(client: FakeClient) -> None:
    command = started(client, FakeExec(sends=b"HTTP/1.1 500 no\r\n\r\n", hold=True))
    assert all_of(command) == []


def test_a_refused_start_is_the_engines_error(client: FakeClient) -> None:
    client.fail["exec_create"] = docker_error("container is not running", 409)
    with pytest.raises(EngineError) as caught:
        started(client)
    assert (caught.value.status, caught.value.text) == (409, "container is not running")


class TestTheCode:
    def test_it_is_waited_for(self, client: FakeClient) -> None:
        one = FakeExec(code=None)
        command = started(client, one)
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                one.code = 7

        assert command.code(wait_s=5, monotonic_s=lambda: sum(waits), sleep_s=sleep) == 7
        assert len(waits) == 3
        command.close()

    def test_none_in_time_is_an_error_and_not_a_success(self, client: FakeClient) -> None:
        command = started(client, FakeExec(code=None))
        waits: list[float] = []
        with pytest.raises(EngineError, match="no exit code 5 s after"):
            command.code(wait_s=5, monotonic_s=lambda: sum(waits), sleep_s=waits.append)
        assert 5 <= sum(waits) < 6
        command.close()
