"""What a test process may say."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.messages import MESSAGE_BYTES, Channel, parse_message

pytestmark = pytest.mark.in_container


def test_a_case_has_every_key() -> None:
    kind, keys = parse_message(b'{"type": "case", "case": "a::b", "outcome": "passed", "more": 1}')
    assert kind == "case"
    assert keys == {
        "case": "a::b",
        "outcome": "passed",
        "duration_s": 0.0,
        "message": "",
        "details": "",
        "file": None,
        "line": None,
        "verdict": None,
        "assertion": False,
        "failures": (),
        "lacks": "",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"type": "weather"}',
        '{"type": ["case"]}',
        '{"type": "case", "case": 3, "outcome": "passed"}',
        '{"type": "case", "case": "a", "outcome": "fine"}',
        '{"type": "case", "case": "a", "outcome": ["passed"]}',
        '{"type": "case", "case": "a"}',
        '{"type": "metric", "metric": "a", "value": NaN}',
        '{"type": "metric", "metric": "a", "value": "1"}',
        '{"type": "metric", "metric": "a", "value": true}',
        '{"type": "session", "exit_code": "0"}',
        "[" * 5000,
    ],
)
def test_what_is_not_understood_is_a_note_with_the_raw_text(text: str) -> None:
    assert parse_message(text.encode()) == ("note", {"text": text})


def test_keys_of_another_type_are_left_out() -> None:
    printed = {
        "type": "case",
        "case": "a",
        "outcome": "failed",
        "file": 3,
        "line": "7",
        "verdict": ["infra"],
        "duration_s": "1",
    }
    _, keys = parse_message(json.dumps(printed).encode())
    assert (keys["file"], keys["line"], keys["verdict"], keys["duration_s"]) == (None, None, None, 0.0)
    _, keys = parse_message(b'{"type": "progress", "text": "x", "done": true, "total": 1e999}')
    assert (keys["done"], keys["total"]) == (None, None)
    bound = {"ok": "yes", "op": "<", "limit": 4, "colour": "red"}
    _, keys = parse_message(
        json.dumps({"type": "metric", "metric": "m", "value": 1, "bound": bound}).encode()
    )
    assert keys["bound"] == {"ok": False, "op": "<", "limit": 4, "source": "", "report_only": False}


@given(st.binary(max_size=200))
def test_no_bytes_can_break_it(data: bytes) -> None:
    kind, keys = parse_message(data)
    json.dumps({"type": kind, **keys}, allow_nan=False).encode()


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """The test's end of the socket, and the agent's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, contextlib.closing(Channel(theirs.fileno())) as channel:
        # the channel has a descriptor of its own: a test that closes what it has inherited does not silence it
        theirs.close()
        yield channel, ours


class TestChannel:
    def test_a_message_arrives_as_it_was_sent(self, ends: tuple[Channel, socket.socket]) -> None:
        channel, ours = ends
        channel.send(type="note", text="caf\u00e9 \udcff")
        assert parse_message(ours.recv(MESSAGE_BYTES)) == ("note", {"text": "caf\u00e9 ?", "server_s": None})

    def test_the_longest_text_of_a_message_that_is_too_long_loses_its_beginning(
        self, ends: tuple[Channel, socket.socket]
    ) -> None:
        channel, ours = ends
        details = "".join(f"{number} " for number in range(MESSAGE_BYTES))
        channel.send(type="case", case="a::b", outcome="failed", details=details)
        data = ours.recv(2 * MESSAGE_BYTES)
        kind, keys = parse_message(data)
        assert len(data) <= MESSAGE_BYTES
        assert (kind, keys["case"], keys["outcome"]) == ("case", "a::b", "failed")
        assert details.endswith(keys["details"])
        assert len(keys["details"]) > MESSAGE_BYTES // 4

    def test_a_fork_of_the_test_process_sends_nothing(
        self, ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel, ours = ends
        monkeypatch.setattr(os, "getpid", lambda: -1)
        channel.send(type="note", text="of the fork")
        monkeypatch.undo()
        channel.send(type="note", text="of the test")
        assert b"of the test" in ours.recv(MESSAGE_BYTES)
