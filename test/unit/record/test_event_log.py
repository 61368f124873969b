"""The record on disk: what is written is read again, and damage is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.errors import InfrastructureError, UsageError
from ci.record.event_json import json_of
from ci.record.event_log import RecordWriter, line_of, read_events
from ci.record.events import SCHEMA, Damaged, Event, Metric, Note, Unknown
from ci.record.fold import exit_code, fold
from ci.record.model import Attempt
from support.full_disk import files_of_at_most
from support.records import (
    attempt_lists,
    events_of,
    odd_text,
    run_events,
    run_started,
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=8,
)


def write(path: Path, *events: Event) -> None:
    with RecordWriter(path) as record:
        for event in events:
            record.append(event)


def texts_of(path: Path) -> list[str]:
    return [event.text for event in read_events(path) if isinstance(event, Note)]


class TestWritingAndReading:
    @given(st.lists(odd_text, max_size=5))
    def test_any_text_comes_back_as_it_was(
        self, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("run") / "events.jsonl"
        write(path, *(Note(text=text) for text in texts))
        assert texts_of(path) == texts

    @given(attempt_lists())
    def test_events_come_back_as_they_were(
        self, tmp_path_factory: pytest.TempPathFactory, attempts: tuple[Attempt, ...]
    ) -> None:
        path = tmp_path_factory.mktemp("run") / "events.jsonl"
        events = run_events({"a.py": attempts})
        write(path, *events)
        assert read_events(path) == events

    @pytest.mark.parametrize("name", ["stage-b", "rehearsal", "container", "guard", "quarantine"])
    def test_a_stored_run_comes_back_as_it_was(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / "events.jsonl", *events_of(name))
        assert read_events(tmp_path / "events.jsonl") == events_of(name)

    @given(json_values)
    def test_a_line_is_strict_json_in_ascii(self, value: Any) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        line = line_of(Note(text="x", more={"value": value}))
        assert line.count(b"\n") == 1
        json.loads(line.decode("ascii"), parse_constant=refuse)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_number_that_json_does_not_know_is_written_as_null(self, value: float) -> None:
        metric = Metric(metric="latency_s", value=value, suite="s", test="a.py")
        assert json.loads(line_of(metric))["value"] is None

    def test_every_event_is_readable_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with RecordWriter(path) as record:
            record.append(Note(text="x"))
            assert len(read_events(path)) == 1

    def test_an_unfinished_last_line_is_named_and_the_rest_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"type":"note","text":"whole"}\n{"type":"test-en')
        whole, damage = read_events(path)
        assert whole == Note(text="whole")
        assert isinstance(damage, Damaged)
        assert "the last line is unfinished" in damage.text
        assert '{"type":"test-en' in damage.text

    def test_a_line_that_is_not_an_event_is_named_with_its_number_and_what_is_wrong(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "events.jsonl"
        wrong = b'{"type":"test-ended","outcome":"odd","duration_s":"long"}'
        path.write_bytes(b'{"type":"note"}\n[1]\n\xff\n' + wrong + b'\n{"type":"note"}\n')
        first, *damaged, last = read_events(path)
        assert first == last == Note()
        texts = [event.text.removeprefix("events.jsonl: ") for event in damaged if isinstance(event, Damaged)]
        assert texts[:2] == [
            "line 2 is not an event (has no type): '[1]'",
            "line 3 is not an event: '\\ufffd'",
        ]
        assert texts[2].startswith(
            "line 4 is not an event (outcome: unknown value 'odd' (expected 'passed', 'failed'"
        )
        assert "duration_s: is 'long', not a number" in texts[2]

    def test_what_only_another_version_knows_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        lines: list[dict[str, Any]] = [
            {"type": "note", "text": "x", "colour": "red"},
            {"type": "gpu-temperature", "seq": 4, "celsius": [40]},
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        events = read_events(path)
        assert events == [
            Note(text="x", more={"colour": "red"}),
            Unknown(name="gpu-temperature", seq=4, more={"celsius": [40]}),
        ]
        assert [json_of(event) for event in events] == [{**line, "by": "ci"} for line in lines]
        assert "event of unknown type 'gpu-temperature' left out" in fold(events).problems

    def test_a_record_of_another_schema_says_which_version_reads_it(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        old = {key: value for key, value in json_of(run_started(["a.py"])).items() if key != "schema"}
        path.write_text(json.dumps(old) + "\n")
        with pytest.raises(UsageError, match=f"a record of schema 1; this version reads {SCHEMA}") as caught:
            read_events(path)
        assert "run it again" in caught.value.then

    def test_a_later_writer_does_not_lose_its_first_event_to_an_unfinished_line(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"type":"no')
        write(path, Note(text="mine"))
        damage, mine = read_events(path)
        assert isinstance(damage, Damaged)
        assert mine == Note(text="mine")

    def test_a_missing_record_is_a_usage_error_with_the_next_command(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file") as caught:
            read_events(tmp_path / "events.jsonl")
        assert str(tmp_path) in caught.value.then


class TestDiskThatIsFull:
    def test_what_was_recorded_stays_whole_and_more_can_follow(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with RecordWriter(path) as record:
            record.append(Note(text="first"))
            before = path.read_bytes()
            with files_of_at_most(len(before) + 20), pytest.raises(InfrastructureError) as caught:
                record.append(Note(text="x" * 100))
            assert path.read_bytes() == before
            record.append(Note(text="after"))
        assert texts_of(path) == ["first", "after"]
        assert "MiB free" in caught.value.what
        assert str(tmp_path) in caught.value.what
        assert caught.value.then.startswith(f"df -h {tmp_path}")

    def test_no_space_is_reported_in_words(self) -> None:
        with RecordWriter(Path("/dev/full")) as record, pytest.raises(InfrastructureError) as caught:
            record.append(Note())
        assert caught.value.cause == "the disk is full"
        assert caught.value.exit_code == 4

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InfrastructureError, match="No such file"):
            RecordWriter(tmp_path / "nowhere" / "events.jsonl")


@settings(max_examples=50)
@given(
    st.lists(st.dictionaries(st.sampled_from(["type", "test", "attempt", "seq", "tests", "x"]), json_values))
)
def test_no_line_is_too_unusual(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert exit_code(fold(read_events(path))) != 0
