"""Events on a descriptor: whole lines, numbered without gaps, and a reader that goes away ends the run."""

import json
import os
import threading

import pytest

from ci.agent.events import Emitter
from ci.agent.stop import Stop

pytestmark = pytest.mark.in_container


def test_events_of_many_threads_are_whole_and_numbered_without_gaps() -> None:
    output, write_end = os.pipe()
    emitter = Emitter(write_end, Stop())

    def work(name: str) -> None:
        for number in range(50):
            emitter.emit("note", text=f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    with os.fdopen(output, "rb") as stream:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(write_end)
        events = [json.loads(line) for line in stream]
    assert [event["seq"] for event in events] == list(range(1, 201))
    assert all(one["elapsed_s"] <= two["elapsed_s"] for one, two in zip(events, events[1:]))  # noqa: B905, RUF007  # 3.10
    for name in "abcd":
        texts = [event["text"] for event in events if event["text"].startswith(name)]
        assert texts == [f"{name} {number}" for number in range(50)]


def test_an_event_has_its_kind_and_a_time_in_utc() -> None:
    output, write_end = os.pipe()
    Emitter(write_end, Stop()).emit("retry", wait_s=1.5)
    os.close(write_end)
    with os.fdopen(output, "rb") as stream:
        event = json.loads(stream.readline())
    assert (event["type"], event["wait_s"]) == ("retry", 1.5)
    assert event["time"].endswith("Z")
    assert len(event["time"]) == len("2026-05-29T07:12:03.123Z")


def test_a_reader_that_has_gone_stops_the_run_and_the_first_reason_stays() -> None:
    output, write_end = os.pipe()
    os.close(output)
    stop = Stop()
    emitter = Emitter(write_end, stop)
    emitter.emit("note", text="into nothing")
    stop.request("got SIGTERM")
    emitter.emit("note", text="and again")
    os.close(write_end)
    assert emitter.broken
    assert stop.reason is not None
    assert stop.reason.startswith("cannot write to standard output: ")
