"""The process that submitted a run or follows it: what becomes of the job when it cannot be cancelled, or is followed twice."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.executors import ExecutorKind
from ci.catalog.verdicts import Verdict
from ci.errors import ExitCode
from ci.execute.executor import FollowedElsewhereError, RunInputs
from ci.execute.run import Ending, Run
from ci.execute.run_folder import RunFolder
from ci.execute.slurm.executor import SlurmExecutor
from ci.plan.model import Plan
from ci.record import events as ev
from ci.record.event_log import RecordWriter
from support.planning import catalog, on_cluster, planned, registration, request
from support.slurm_answers import Controller

TEST = "test/registered/a.py"


class Followed:
    """A run whose job 7 runs, and what follows it."""

    def __init__(self, runs: Path, slurm: Controller) -> None:
        self.slurm = slurm
        self.folder = RunFolder(path=runs / "20260529T071201Z-stage-a-amd-1")
        (self.folder.path / "slurm").mkdir(parents=True)
        (self.folder.path / "slurm/job.json").write_text('{"job": "7"}')
        asked = request(executor=ExecutorKind.SLURM)
        plan = planned(catalog(), on_cluster([registration(TEST)], "laptop"), asked)
        self.plan: Plan = replace(plan, placement=replace(plan.placement, runs_dir=str(runs)))
        with RecordWriter(self.folder.events) as record:
            record.append(ev.Note(text="submitted"))
        self.live = runs / ".live"
        self.endings: list[Ending] = []

    def executor(self) -> SlurmExecutor:
        inputs = RunInputs(plan=self.plan, folder=self.folder, catalog=catalog(), token="amdci-1", environ={})
        return SlurmExecutor(inputs)

    def follow(self) -> int:
        """As `slurm.attach` does."""
        return Run(
            plan=self.plan,
            catalog=catalog(),
            environ={},
            view=lambda _folder: nullcontext(lambda _event: None),
            report=self.endings.append,
            say=lambda _line: None,
            acknowledge=lambda _line: None,
            token="amdci-1",
        ).go_on(self.folder)

    def ctrl_c_at_the_first_look(self) -> None:
        pressed: list[str] = []

        def press(program: str) -> None:
            if not pressed:
                pressed.append(program)
                signal.raise_signal(signal.SIGINT)

        self.slurm.on_ask = press


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    slurm = Controller("PENDING")
    monkeypatch.setattr("ci.slurm.client.capture", slurm)
    yield Followed(tmp_path / "runs", slurm)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_scancel_without_an_answer_is_repeated_and_the_tests_are_cancelled(followed: Followed) -> None:
    followed.slurm.silent["scancel"] = 1
    followed.ctrl_c_at_the_first_look()
    assert followed.follow() == ExitCode.INTERRUPTED
    assert followed.slurm.of("scancel") == [("scancel", "7")] * 2
    assert followed.slurm.state == "CANCELLED"
    (ending,) = followed.endings
    (test,) = ending.record.tests
    assert (test.id, test.verdict) == (TEST, Verdict.CANCELLED)
    assert not list(followed.live.iterdir())


def test_a_job_that_cannot_be_cancelled_keeps_its_mark_and_is_named_with_the_command(
    followed: Followed,
) -> None:
    followed.slurm.silent["scancel"] = 9
    followed.ctrl_c_at_the_first_look()
    assert followed.follow() == ExitCode.INTERRUPTED
    (ending,) = followed.endings
    assert ending.failure is not None
    assert ending.failure.then == "scancel 7"
    # the next start asks Slurm about it before it ends anything of this run
    assert [path.name for path in followed.live.iterdir()] == ["amdci-1.json"]


def test_of_two_who_start_to_follow_at_once_one_is_refused_and_changes_nothing(followed: Followed) -> None:
    first = followed.executor()
    first._follow_alone()  # the first thing that it does
    record = followed.folder.events.read_bytes()
    with pytest.raises(FollowedElsewhereError, match=f"another process follows .*: pid {os.getpid()} on "):
        followed.follow()
    assert followed.slurm.asked == []
    assert followed.folder.events.read_bytes() == record
    assert followed.endings == []
    assert list(followed.live.iterdir()), "the run goes on"
    first.stop(at_once=True)
    first.close()
    assert followed.slurm.of("scancel") == [("scancel", "7")]
