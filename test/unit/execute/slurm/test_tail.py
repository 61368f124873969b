"""Files of events that others append to."""

from pathlib import Path

import pytest

from ci.errors import InfrastructureError
from ci.execute.slurm.tail import Tail
from ci.record import events as ev
from ci.record.event_log import line_of


def _lines(*texts: str) -> bytes:
    return b"".join(line_of(ev.Note(text=text)) for text in texts)


def test_each_event_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert tail.events() == []
    path.write_bytes(_lines("one", "two"))
    assert [event.text for event in tail.events() if isinstance(event, ev.Note)] == ["one", "two"]
    with path.open("ab") as file:
        file.write(_lines("three"))
    assert [event.text for event in tail.events() if isinstance(event, ev.Note)] == ["three"]
    assert tail.events() == []


@pytest.mark.parametrize("cut", range(1, len(_lines("two"))))
def test_a_line_without_its_end_is_left_until_it_has_one(tmp_path: Path, cut: int) -> None:
    path, line = tmp_path / "events.jsonl", _lines("two")
    path.write_bytes(_lines("one") + line[:cut])
    tail = Tail(path)
    assert len(tail.events()) == 1
    with path.open("ab") as file:
        file.write(line[cut:])
    assert [event.text for event in tail.events() if isinstance(event, ev.Note)] == ["two"]


def test_a_line_that_is_no_event_is_said_and_does_not_hide_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type": "no\n\n' + _lines("after"))
    damaged, note = Tail(path).events()
    assert isinstance(damaged, ev.Damaged)
    assert "events.jsonl: not an event" in damaged.text
    assert isinstance(note, ev.Note)


def test_a_file_that_cannot_be_read_is_said_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InfrastructureError, match="Is a directory"):
        Tail(tmp_path / "folder").events()
