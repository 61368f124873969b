"""One record out of the events of several workers."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ci.catalog.verdicts import Status, Verdict
from ci.execute.slurm.merge import HEAD, Merge
from ci.record import events as ev
from ci.record.fold import fold
from ci.record.values import AttemptOutcome, EndReason, PlannedTest, TestName

SUITES = {"s": ("a", "b"), "t": ("c",)}
STARTED = ev.RunStarted(
    time="2026-05-29T07:00:00.000Z",
    tests=tuple(PlannedTest(suite=suite, test=test) for suite, tests in SUITES.items() for test in tests),
)


def _at(second: int) -> str:
    return f"2026-05-29T07:00:{second:02}.000Z"


class Worker:
    """Writes numbered events."""

    def __init__(self, number: str) -> None:
        self.number = number
        self._seq = 0

    def say(self, event: ev.Event, second: int = 0) -> tuple[str, ev.Event]:
        self._seq += 1
        return self.number, replace(event, seq=self._seq, time=_at(second))

    def test(self, suite: str, test: str, second: int = 1) -> list[tuple[str, ev.Event]]:
        return [
            self.say(ev.SuiteStarted(suite=suite, tests=SUITES[suite]), second),
            self.say(ev.TestStarted(suite=suite, test=test, attempt=1), second),
            self.say(
                ev.TestEnded(suite=suite, test=test, attempt=1, outcome=AttemptOutcome.PASSED), second + 1
            ),
        ]


def merged(merge: Merge, said: Iterable[tuple[str, ev.Event]]) -> list[ev.Event]:
    return [out for worker, event in said for out in merge.take(worker, event)]


def names(events: Iterable[ev.Event]) -> list[str]:
    return [event.type for event in events]


def test_two_workers_make_the_record_of_one_run() -> None:
    merge, head, one, two = Merge(SUITES), Worker(HEAD), Worker("1"), Worker("2")
    events = merged(
        merge,
        [
            head.say(ev.AgentStarted()),
            one.say(ev.WorkerStarted(node="n1")),
            two.say(ev.WorkerStarted(node="n2")),
            *one.test("s", "a"),
            *two.test("s", "b", 3),
            *two.test("t", "c", 5),
            one.say(ev.WorkerEnded(), 8),
            two.say(ev.WorkerEnded(), 8),
            head.say(ev.AgentEnded(), 9),
        ],
    )
    assert merge.head_ended
    assert merge.missing == ()
    events += merge.finish()
    assert names(events).count("suite-started") == 2
    ended = {event.suite: event.duration_s for event in events if isinstance(event, ev.SuiteEnded)}
    assert ended == {"s": 3.0, "t": 1.0}
    assert names(events)[-1] == "agent-ended"
    record = fold([STARTED, *events])
    assert record.problems == ()
    assert [test.status for test in record.tests] == [Status.PASSED] * 3
    assert [worker.node for worker in record.workers] == ["n1", "n2"]


def test_a_suite_goes_on_until_the_retry_of_its_last_test_has_ended() -> None:
    merge, one = Merge({"s": ("a",)}), Worker("1")
    said = [
        *one.test("s", "a"),
        one.say(ev.Retry(suite="s", test="a", attempt=1)),
        one.say(ev.Note(text="between")),
    ]
    assert "suite-ended" not in names(merged(merge, said))
    end = ev.TestEnded(suite="s", test="a", attempt=2, outcome=AttemptOutcome.PASSED)
    assert names(merged(merge, [one.say(end), one.say(ev.WorkerEnded())])) == [
        "test-ended",
        "worker-ended",
        "suite-ended",
    ]


def test_what_a_lost_worker_says_later_is_left_out() -> None:
    merge, head, one = Merge(SUITES), Worker(HEAD), Worker("1")
    lost = head.say(ev.WorkerLost(worker="1", because="gone", tests=(TestName(suite="s", test="a"),)))
    events = merged(merge, [one.say(ev.WorkerStarted()), lost, *one.test("s", "a")])
    assert names(events) == ["worker-started", "worker-lost"]
    assert events[1].worker == "1"
    assert ("s", "a") in merge.missing


def test_a_failure_of_one_worker_is_for_the_head_to_judge() -> None:
    merge, head, one = Merge(SUITES), Worker(HEAD), Worker("1")
    (note,) = merged(merge, [one.say(ev.ExecutorFailed(what="no interpreter", cause="it is missing"))])
    assert isinstance(note, ev.Note)
    assert note.text == "worker 1 failed: no interpreter: it is missing"
    assert not merge.head_ended
    assert names(merged(merge, [head.say(ev.ExecutorFailed(what="no worker is left"))])) == [
        "executor-failed"
    ]
    assert merge.head_ended


def test_a_job_that_ended_by_itself_decides_what_its_tests_become() -> None:
    merge, one = Merge(SUITES), Worker("1")
    said = [
        one.say(ev.WorkerStarted()),
        *one.test("s", "a"),
        one.say(ev.TestStarted(suite="s", test="b", attempt=1)),
    ]
    events = merged(merge, said)
    failure = ev.ExecutorFailed(what="job 7 ended: TIMEOUT", verdict=Verdict.TIMEOUT)
    events += merge.finish(failure, verdict=Verdict.TIMEOUT, because="job 7 ended: TIMEOUT")
    record = fold([STARTED, *events])
    assert [(test.status, test.verdict) for test in record.tests] == [
        (Status.PASSED, Verdict.PASSED),
        (Status.FAILED, Verdict.TIMEOUT),
        (Status.NOT_RUN, Verdict.TIMEOUT),
    ]


@pytest.mark.parametrize("cut", range(10))
def test_whoever_goes_on_with_a_record_adds_what_it_lacks(cut: int) -> None:
    head, one, two = Worker(HEAD), Worker("1"), Worker("2")
    said = [
        head.say(ev.AgentStarted()),
        one.say(ev.WorkerStarted()),
        *one.test("s", "a"),
        *two.test("s", "b", 3),
        head.say(ev.WorkerLost(worker="2", because="gone")),
        *one.test("t", "c", 5),
        head.say(ev.AgentEnded(reason=EndReason.DONE)),
    ]
    whole = Merge(SUITES)
    wanted = [*merged(whole, said), *whole.finish()]
    first = Merge(SUITES)
    written = merged(first, said)[:cut]
    second = Merge(SUITES)
    second.resume(written)
    # all files are read again from their start
    written += [*merged(second, said), *second.finish()]
    assert sorted(map(repr, written)) == sorted(map(repr, wanted))


def test_a_line_that_the_record_has_as_damaged_is_said_once() -> None:
    damaged = ev.Damaged(text="events.jsonl: not an event: '?'")
    first, second = Merge(SUITES), Merge(SUITES)
    written = merged(first, [("1", damaged)])
    assert names(written) == ["record-damaged"]
    second.resume(written)
    other = replace(damaged, text="events.jsonl: not an event: '!'")
    assert [event.text for event in second.take("1", other) if isinstance(event, ev.Damaged)] == [other.text]
    assert not merged(second, [("1", damaged)])


def test_a_job_that_was_put_back_into_the_queue_says_its_start_and_its_end_once() -> None:
    merge, head = Merge({"s": ("a",)}), Worker(HEAD)
    said = [
        head.say(ev.AgentStarted()),
        head.say(ev.AgentEnded(reason=EndReason.CANCELLED)),
        head.say(ev.AgentStarted()),
    ]
    events = merged(merge, said)
    assert not merge.head_ended
    events += merged(merge, [head.say(ev.AgentEnded(reason=EndReason.DONE))])
    events += merge.finish()
    assert [event.reason for event in events if isinstance(event, ev.AgentEnded)] == [EndReason.DONE]
    assert names(events).count("agent-started") == 1
