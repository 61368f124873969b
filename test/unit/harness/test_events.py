"""Messages to the agent: whole, small enough, one at a time, and never a reason for a test to fail."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import events
from support.harness_run import use_spec

pytestmark = pytest.mark.in_container


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with use_spec(monkeypatch, tmp_path), ours, theirs:
        monkeypatch.setenv("AMD_CI_EVENTS_FD", str(theirs.fileno()))
        ours.settimeout(5)
        yield ours


def test_each_call_is_one_message(channel: socket.socket) -> None:
    events.note("loading")
    events.progress("items", 3, 16)
    events.metric("latency", 1.5, "s", None)
    assert [json.loads(channel.recv(1 << 17)) for _ in range(3)] == [
        {"type": "note", "text": "loading", "server_s": None},
        {"type": "progress", "text": "items", "done": 3, "total": 16},
        {"type": "metric", "metric": "latency", "value": 1.5, "unit": "s", "bound": None},
    ]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    times=st.sampled_from([1, 1_000, 20_000, 100_000]),
)
def test_long_text_is_cut_to_one_message(channel: socket.socket, text: str, times: int) -> None:
    events.note(text * times)
    data = channel.recv(1 << 20)
    got = json.loads(data)["text"]
    assert len(data) <= events.MESSAGE_BYTES_MAX
    if got != text * times:
        assert got.endswith("(cut to fit one message)")
        assert len(data) > events.MESSAGE_BYTES_MAX / 8, "more was cut than had to be"


def test_half_a_surrogate_does_not_break_a_message(channel: socket.socket) -> None:
    events.note("before \ud83d after")
    assert json.loads(channel.recv(1 << 17))["text"] == "before ? after"


def test_threads_do_not_mix_their_messages(channel: socket.socket) -> None:
    texts = {f"{number} " + "x" * 1_000 for number in range(200)}
    with ThreadPoolExecutor(8) as pool:
        sending = [pool.submit(events.note, text) for text in texts]
        got = {json.loads(channel.recv(1 << 17))["text"] for _ in texts}
        for future in sending:
            future.result()
    assert got == texts


def test_without_an_agent_the_same_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with use_spec(monkeypatch, tmp_path):
        events.note("loading")
        events.progress("items", 3, 16)
        events.metric(
            "latency", 1.5, "s", {"ok": False, "op": "<", "limit": 1, "source": "x", "report_only": False}
        )
    assert capsys.readouterr().out.splitlines() == [
        "[note] loading",
        "[progress] items: 3 of 16",
        "[metric] latency = 1.5 s (bound < 1: BROKEN)",
    ]


def test_agent_that_is_gone_is_reported_and_does_not_fail_the_test(
    channel: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    channel.close()
    events.note("still here")
    assert "[note] still here  (not recorded:" in capsys.readouterr().out
