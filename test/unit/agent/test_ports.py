"""Ports of servers in roles: those of their rows, or others where a run on the same machine has them."""

import os
import socket
from pathlib import Path

import pytest

from ci.agent.ports import hold_free
from support.ports import free_ports

pytestmark = pytest.mark.in_container

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def machine_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.agent.ports._NAME", f"\0{os.getpid()}.{tmp_path.name}")


def test_two_runs_at_a_time_have_ports_of_their_own_before_their_servers_listen() -> None:
    (http,) = free_ports(1)
    rows = {"http": http}
    first, one = hold_free(rows, HOST)
    with one:
        second, two = hold_free(rows, HOST)
        two.close()
    assert first == rows
    assert second["http"] > http
    third, three = hold_free(rows, HOST)
    three.close()
    assert third == rows


def test_ports_that_another_program_listens_on_are_passed_over() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        found, held = hold_free({"http": port}, HOST)
        held.close()
    assert found["http"] > port


def test_where_none_are_free_the_first_one_is_named_with_its_reason() -> None:
    with pytest.raises(OSError, match=r"port 25800 \(http\): Cannot assign requested address"):
        hold_free({"http": 25800}, "192.0.2.1")


def test_where_other_runs_have_them_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.agent.ports.hold", lambda _port: None)
    with pytest.raises(OSError, match=r"port 25800 \(http\): another run on this machine has it"):
        hold_free({"http": 25800}, HOST)
