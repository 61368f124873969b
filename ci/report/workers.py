"""Runs on several nodes in words: the job, the workers, and the slots by their nodes."""

from collections.abc import Iterator
from dataclasses import dataclass

from ci.catalog.verdicts import Tone
from ci.record.events import Job, TestStarted, WorkerLost, WorkerStarted
from ci.record.model import Attempt, RunRecord, WorkerRecord
from ci.record.values import EndReason, TestName
from ci.report.text import duration
from ci.slurm.states import JobState

__all__ = [
    "WorkerRow",
    "attempt_place",
    "is_waiting",
    "job_tone",
    "job_words",
    "lost_worker_words",
    "slot_words",
    "started_words",
    "worker_rows",
]

# tests that are named where a worker is lost
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """What a worker did: `attempts` at tests, `busy_s` of its `slots` for `lasted_s` each."""

    node: str
    attempts: int
    busy_s: float
    lasted_s: float
    slots: int
    words: str
    is_lost: bool

    @property
    def busy(self) -> str:
        """`87 %`: of the time of its slots."""
        whole_s = self.lasted_s * self.slots
        return f"{100 * min(1.0, self.busy_s / whole_s):.0f} %" if whole_s else ""


def slot_words(start: TestStarted, worker: WorkerRecord) -> str:
    """Where an attempt runs: `GPU 4,5`, on the CPU `slot 2`, nothing on a machine that one test has at a time; on several nodes
    `n2:3`, or `n2` where one runs at a time.
    """
    if worker.id:
        return f"{worker.name}:{start.slot}" if start.slot else worker.name
    if start.gpu_ids:
        return f"GPU {','.join(start.gpu_ids)}"
    return f"slot {start.slot}" if start.slot else ""


def attempt_place(record: RunRecord, attempt: Attempt) -> str:
    """The node and slot of an attempt, and its GPUs; empty on one machine without GPUs."""
    gpus = f"GPU {', '.join(attempt.start.gpu_ids)}" if attempt.start.gpu_ids else ""
    slot = slot_words(attempt.start, record.worker(attempt.worker)) if attempt.worker else ""
    return ", ".join(filter(None, (slot, gpus)))


def job_words(job: Job) -> str:
    """`job 123 waits for its nodes: Resources`, `job 123 runs on n1, n2`."""
    state = JobState.of(job.state)
    words = f"job {job.job} {state.row.words}"
    if state is JobState.RUNNING:
        return words + (f" on {', '.join(job.nodes)}" if job.nodes else "")
    return words + (f": {job.reason}" if job.reason and job.reason != "None" else "")


def is_waiting(job: Job) -> bool:
    """Whether the job does not go on and is not over: it has not begun, or was halted."""
    row = JobState.of(job.state).row
    return not row.begun or row.halted


def job_tone(job: Job) -> Tone:
    """How its state is coloured."""
    return JobState.of(job.state).row.tone


def started_words(event: WorkerStarted) -> str:
    """`worker 2 on n2: 4 slots, Python 3.12.3`."""
    slots = f"{event.slots} slot{'s' if event.slots != 1 else ''}"
    return f"worker {event.worker} on {event.node or event.host}: {slots}, Python {event.python}"


def lost_worker_words(event: WorkerLost, worker: WorkerRecord) -> str:
    """`worker 2 on n2 is lost: srun ended; 2 tests run again: test_a.py, test_b.py`."""
    node = event.node or worker.node
    where = f"worker {event.worker} on {node}" if node else f"worker {event.worker}"
    return f"{where} is lost: {_with_tests(event.because, event.tests)}"


def _with_tests(because: str, tests: tuple[TestName, ...]) -> str:
    if not tests:
        return because
    named = ", ".join(each.test for each in tests[:_NAMED])
    more = f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
    count = "1 test runs" if len(tests) == 1 else f"{len(tests)} tests run"
    return f"{because}; {count} again: {named}{more}"


def worker_rows(record: RunRecord) -> tuple[WorkerRow, ...]:
    """The workers in their order; none for a run on one machine."""
    return tuple(_rows(record))


def _rows(record: RunRecord) -> Iterator[WorkerRow]:
    for worker in record.workers:
        own = [attempt for test in record.tests for attempt in test.attempts if attempt.worker == worker.id]
        ended_s = worker.ended_s if worker.ended_s is not None else record.duration_s
        yield WorkerRow(
            node=worker.name,
            attempts=len(own),
            busy_s=sum(attempt.end.duration_s for attempt in own),
            lasted_s=max(0.0, ended_s - worker.started_s),
            slots=worker.slots,
            words=_end_words(worker),
            is_lost=worker.is_lost,
        )


def _end_words(worker: WorkerRecord) -> str:
    """`lost after 3 min: srun ended`; empty for one that did all that there was to do."""
    if worker.is_lost:
        after = duration(max(0.0, (worker.ended_s or 0.0) - worker.started_s))
        return f"lost after {after}: {_with_tests(worker.text, worker.again)}"
    if worker.reason is None:
        return "did not say that it ended"
    return ": ".join(filter(None, ("" if worker.reason is EndReason.DONE else worker.reason, worker.text)))
