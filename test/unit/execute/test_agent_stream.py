"""The loop over an agent's output: lines into events, deadlines, and what an end without `agent-ended` is."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import InfrastructureError
from ci.execute.agent_stream import AgentStream, Ending
from ci.record.events import AgentEnded, AgentStarted, By, Note, Output

ENDED: dict[str, Any] = {"type": "agent-ended", "seq": 2, "reason": "done"}
STARTED: dict[str, Any] = {"type": "agent-started", "seq": 1}


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


class FakeAgent:
    """Hands out these pieces, one a second of its clock; after the last one it ends, or never."""

    def __init__(self, pieces: Iterable[bytes], *, hangs: bool = False, ends_on_stop: bool = False) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._hangs = hangs
        self._ends_on_stop = ends_on_stop
        self.now_s = 0.0
        self.calls: list[tuple[str, float]] = []

    def read(self, wait_s: float) -> bytes | None:
        self.now_s += max(wait_s, 1)
        piece = next(self._pieces, None)
        stopped = self._ends_on_stop and "close_stdin" in dict(self.calls)
        return b"" if piece is None and self._hangs and not stopped else piece

    def close_stdin(self) -> None:
        self.calls.append(("close_stdin", self.now_s))

    def kill(self) -> None:
        self.calls.append(("kill", self.now_s))

    def ending(self) -> Ending:
        self.calls.append(("ending", self.now_s))
        return Ending(cause="it exited with 3")

    def close(self) -> None:
        self.calls.append(("close", self.now_s))


def stream_of(
    agent: FakeAgent, *, overall_s: float = 100, log: Path = Path("/nowhere/agent.log")
) -> AgentStream:
    return AgentStream(agent, overall_s=overall_s, stop_s=5, log=log, monotonic_s=lambda: agent.now_s)


@given(st.lists(st.integers(0, 200), max_size=6))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    events = [STARTED, {"type": "output", "seq": 2, "lines": ["a\nb"]}, {**ENDED, "seq": 3}]
    data = b"".join(map(line, events))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    agent = FakeAgent(data[start:end] for start, end in itertools.pairwise(edges))
    assert list(stream_of(agent).events()) == [
        AgentStarted(seq=1, by=By.AGENT),
        Output(seq=2, lines=("a\nb",), by=By.AGENT),
        AgentEnded(seq=3, by=By.AGENT),
    ]
    assert [name for name, _ in agent.calls] == ["close"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b"hello", ""),
        (b"[1]", " (has no type)"),
        (b'{"seq": 3}', " (has no type)"),
        (b'{"type": 3}', " (has no type)"),
        (b"\xff", ""),
        (
            b'{"type": "test-ended", "outcome": "fine"}',
            " (outcome: unknown value 'fine' (expected 'passed'",
        ),
    ],
)
def test_a_line_that_is_not_an_event_is_a_note(text: bytes, wrong: str) -> None:
    note, ended = stream_of(FakeAgent([text + b"\n", line(ENDED)])).events()
    assert isinstance(note, Note)
    assert note.text.startswith(f"not an event{wrong}")
    assert note.text.endswith(f": {text.decode(errors='replace')}")
    assert isinstance(ended, AgentEnded)


def test_an_end_without_agent_ended_is_a_failure_that_says_where_and_why(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text("first\nagent: it broke\n")
    agent = FakeAgent([line({**STARTED, "seq": 17}), b'{"type": "agent-en'])
    events = stream_of(agent, log=log).events()
    assert next(events).seq == 17
    with pytest.raises(InfrastructureError) as caught:
        next(events)
    assert caught.value.what == "the agent's stream ended after event 17 without agent-ended"
    assert caught.value.cause == (
        'it exited with 3; the last line was cut: \'{"type": "agent-en\'; its log ends: agent: it broke'
    )
    assert caught.value.then == f"read {log}"
    assert [name for name, _ in agent.calls] == ["ending", "close"]


def test_a_next_command_of_the_ending_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = FakeAgent([])
    monkeypatch.setattr(agent, "ending", lambda: Ending(cause="the container ended", then="docker info"))
    with pytest.raises(InfrastructureError) as caught:
        list(stream_of(agent).events())
    assert (caught.value.cause, caught.value.then) == ("the container ended", "docker info")


def test_an_agent_that_does_not_end_after_a_stop_is_killed() -> None:
    agent = FakeAgent([], hangs=True)
    stream = stream_of(agent)
    agent.now_s = 10
    stream.stop()
    stream.stop()
    with pytest.raises(InfrastructureError, match="without agent-ended") as caught:
        list(stream.events())
    assert caught.value.cause == "it did not end in time and was killed"
    assert agent.calls == [("close_stdin", 10), ("close_stdin", 10), ("kill", 16), ("close", 16)]


def test_an_agent_that_is_to_end_at_once_is_killed_at_once() -> None:
    agent = FakeAgent([], hangs=True)
    stream = stream_of(agent)
    stream.stop()
    stream.stop(at_once=True)
    with pytest.raises(InfrastructureError, match="without agent-ended"):
        list(stream.events())
    (killed_s,) = (at for call, at in agent.calls if call == "kill")
    assert killed_s == 1


def test_an_agent_that_runs_too_long_is_stopped_and_may_end_by_itself() -> None:
    agent = FakeAgent([], hangs=True, ends_on_stop=True)
    with pytest.raises(InfrastructureError, match="without agent-ended") as caught:
        list(stream_of(agent, overall_s=20).events())
    assert caught.value.cause == "it exited with 3"
    assert agent.calls == [("close_stdin", 21), ("ending", 22), ("close", 22)]


def test_output_without_a_pause_does_not_put_off_the_deadlines() -> None:
    agent = FakeAgent(line({"type": "note", "text": "more"}) for _ in range(1000))
    with pytest.raises(InfrastructureError):
        list(stream_of(agent, overall_s=20).events())
    # stopped at 21 s and 5 s later killed; the request is repeated while it runs on
    assert agent.calls[-2] == ("kill", 27)


def test_what_the_place_raises_closes_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = FakeAgent([])

    def paused(_wait_s: float) -> bytes | None:
        raise InfrastructureError("the container has been paused", then="docker unpause")

    monkeypatch.setattr(agent, "read", paused)
    with pytest.raises(InfrastructureError, match="paused"):
        list(stream_of(agent).events())
    assert [name for name, _ in agent.calls] == ["close"]
