"""The agent as a command of a container: its events, its diagnostics, and what ended it."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from ci.docker.container import Container
from ci.execute.container_agent import ContainerAgent
from support.docker_client import FakeClient, FakeExec, frame


@pytest.fixture
def client() -> Iterator[FakeClient]:
    made = FakeClient()
    yield made
    made.close()


def agent(client: Any, one: FakeExec) -> tuple[ContainerAgent, io.BytesIO]:
    client.execs.append(one)
    container = Container(
        client=client, id="i", name="box", python="python3", paused_s=5, stopped=lambda: False
    )
    log = io.BytesIO()
    command = container.start_exec(["python3", "agent.pyz"], env={}, cwd="/")
    return ContainerAgent(container, command, token="run-token", log=log), log


def test_output_are_events_errors_go_to_the_log_and_the_end_is_none(client: FakeClient) -> None:
    running, log = agent(client, FakeExec(sends=frame(1, b"{}\n") + frame(2, b"agent: hm\n")))
    output, data = b"", running.read(5)
    while data is not None:
        output += data
        data = running.read(5)
    assert (output, log.getvalue()) == (b"{}\n", b"agent: hm\n")
    assert running.read(0) is None
    running.close()


def test_silence_is_no_end(client: FakeClient) -> None:
    running, _ = agent(client, FakeExec(hold=True))
    assert running.read(0.01) == b""
    running.close_stdin()
    assert client.far_end().recv(1) == b""
    running.close()


def test_it_is_killed_by_the_runs_token(client: FakeClient) -> None:
    running, _ = agent(client, FakeExec(hold=True))
    running.kill()
    assert client.started[1]["argv"][-2:] == ["kill", "run-token"]
    running.close()


@pytest.mark.parametrize(
    ("code", "cause"), [(2, "it exited with 2"), (139, "it was killed by signal 11"), (0, "it exited with 0")]
)
def test_its_own_end_is_named(client: FakeClient, code: int, cause: str) -> None:
    running, _ = agent(client, FakeExec(code=code))
    assert running.ending().cause == cause
    running.close()


def test_the_containers_end_is_the_cause_with_the_next_command(client: FakeClient) -> None:
    running, _ = agent(client, FakeExec(code=137))
    client.state = {"Running": False, "Paused": False, "Status": "exited", "ExitCode": 143}
    ending = running.ending()
    assert "the container ended by signal 15" in ending.cause
    assert "docker events" in ending.then
    running.close()
