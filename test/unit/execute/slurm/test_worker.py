"""A worker whose job Slurm may be ending: the ends of its stopped tests are held back a moment, all of them together."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ci.catalog.executors import ExecutorKind
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.tail import Tail
from ci.execute.slurm.worker import Worker
from ci.record import events as ev
from ci.record.event_log import RecordWriter
from ci.record.values import AttemptOutcome
from support.planning import catalog, on_cluster, planned, registration, request

TESTS = 8


@dataclass
class Signal:
    """Whether Slurm has sent its signal; it comes when so many seconds were waited for it, if ever."""

    comes_after_s: float = float("inf")
    waited_s: float = 0.0
    moment_s: float = 100.0
    waits: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        passed_s = min(seconds, max(0.0, self.comes_after_s - self.waited_s))
        self.waited_s += passed_s
        self.moment_s += passed_s
        return self.is_set()

    def is_set(self) -> bool:
        return self.waited_s >= self.comes_after_s


def stopped_with(slurms: Signal, run: Path, monkeypatch: pytest.MonkeyPatch) -> list[ev.Event]:
    """What a worker writes of the ends of its cancelled tests."""
    files = SlurmFiles(run=run)
    files.make_worker("1")
    plan = planned(
        catalog(),
        on_cluster([registration("test/registered/a.py")], "laptop"),
        request(executor=ExecutorKind.SLURM),
    )
    monkeypatch.setattr("ci.system.clock.monotonic_s", lambda: slurms.moment_s)
    worker = Worker(run, "1", {}, {})
    monkeypatch.setattr(worker, "_ended_by_slurm", slurms)
    worker._stopped.set()  # as the end of standard input does
    with RecordWriter(files.events("1")) as record:
        emit = worker._emitter(record, plan)  # what it does with its agent's events
        for number in range(TESTS):
            emit(ev.TestEnded(suite="s", test=f"t{number}", attempt=1, outcome=AttemptOutcome.CANCELLED))
    return Tail(files.events("1")).events()


def test_the_ends_of_stopped_tests_wait_once_for_a_signal_of_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurms = Signal()
    assert len(stopped_with(slurms, tmp_path, monkeypatch)) == TESTS
    assert slurms.waited_s == pytest.approx(slurms.waits[0])
    assert sum(slurms.waits) < 1.0, "eight tests wait no longer than one"


def test_ends_that_are_slurms_are_left_to_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped_with(Signal(comes_after_s=0.1), tmp_path, monkeypatch) == []
