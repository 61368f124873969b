"""The head of a job that Slurm has started again: what its earlier workers had is run once more, by workers with numbers of their own."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ci.agent.claims import Claims
from ci.catalog.executors import ExecutorKind
from ci.catalog.verdicts import Verdict
from ci.errors import ExitCode
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.head import Head
from ci.execute.slurm.tail import Tail
from ci.plan.model import Plan
from ci.record import events as ev
from ci.record.event_log import line_of
from ci.record.values import AttemptOutcome, EndReason, TestName
from support.planning import catalog, on_cluster, planned, registration, request
from support.slurm_answers import Controller

NAMES = ("a", "b", "c")
# a run that does not end is stopped
_LONG_S = 600.0


class Node:
    """A worker as the head sees it: at every look it runs one test that it can claim, until all is settled."""

    def __init__(self, files: SlurmFiles, number: str, plan: Plan) -> None:
        self.number = number
        self._files = files
        self._tests = [(suite.id, test.id) for suite in plan.work.suites for test in suite.tests]
        self._claims = Claims(files.queue, number)
        self._seq = 0
        self.ran: list[str] = []
        self.has_ended = False

    @property
    def exit_code(self) -> int | None:
        seen = self._claims.look()
        if self.has_ended:
            return 0
        if seen.is_closed:
            self.say_ended()
            return 0
        for place in range(len(self._tests)):
            tried = 2 if place in seen.again else 1
            if (place, tried) not in seen.claimed and self.take(place, tried):
                self.end(place)
                break
        return None

    def take(self, place: int, tried: int = 1) -> bool:
        return self._claims.take(place, tried)

    def end(self, place: int) -> None:
        suite, test = self._tests[place]
        self.ran.append(Path(test).stem)
        self._write(
            ev.TestEnded(
                suite=suite,
                test=test,
                attempt=1,
                outcome=AttemptOutcome.PASSED,
                verdict=Verdict.PASSED,
            )
        )

    def say_ended(self) -> None:
        self.has_ended = True
        self._write(ev.WorkerEnded(reason=EndReason.DONE))

    def say(self, _words: bytes) -> None:
        """It needs no word to begin."""

    def stop(self) -> None:
        if not self.has_ended:
            self.say_ended()

    def _write(self, event: ev.Event) -> None:
        self._seq += 1
        with self._files.events(self.number).open("ab") as file:
            file.write(line_of(replace(event, worker=self.number, seq=self._seq)))


class Job:
    """A run on two nodes whose head is started, again and again."""

    def __init__(self, run: Path) -> None:
        asked = request(executor=ExecutorKind.SLURM, nodes=2)
        rows = [registration(f"test/registered/{name}.py") for name in NAMES]
        self.plan = planned(catalog(), on_cluster(rows, "laptop"), asked)
        self.files = SlurmFiles(run=run)
        self.files.given_again.mkdir(parents=True)
        self.files.probe.write_text("p")
        self.files.spec.write_text('{"token": "amdci-1"}')
        self.files.head_events.touch()
        self.nodes: list[Node] = []
        self.passed_s = 0.0

    def worker(self, number: str) -> Node:
        """One of an earlier start."""
        self.files.make_worker(number)
        self.files.hello(number).write_text(json.dumps({"node": f"n{2 - int(number) % 2}"}))
        return Node(self.files, number, self.plan)

    def start_again(self) -> int:
        environ = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURMD_NODENAME": "n1"}
        return Head(self.files.run, self.plan, environ, lambda: self.passed_s > _LONG_S).run()

    def steps(self, _files: SlurmFiles) -> AbstractContextManager["Job"]:
        return nullcontext(self)

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds

    def start(self, number: str, _argv: Sequence[str], _environ: Mapping[str, str]) -> None:
        self.files.make_worker(number)
        self.nodes.append(Node(self.files, number, self.plan))

    def greetings(self, *, within_s: float, stopped: Callable[[], bool]) -> tuple[()]:  # noqa: ARG002
        return ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def said(self) -> list[ev.Event]:
        return Tail(self.files.head_events).events()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    made = Job(tmp_path / "run")
    monkeypatch.setattr("ci.execute.slurm.head.Steps", made.steps)
    monkeypatch.setattr("ci.slurm.client.capture", Controller(nodes=("n1", "n2")))
    # it asks the program `uname`
    monkeypatch.setattr("platform.platform", lambda: "Linux")
    monkeypatch.setattr("ci.system.clock.monotonic_s", lambda: made.passed_s)
    monkeypatch.setattr("ci.system.clock.sleep_s", made.sleep)
    return made


def stems(tests: Sequence[TestName]) -> list[str]:
    return [Path(each.test).stem for each in tests]


def test_what_an_ended_worker_had_claimed_and_not_settled_is_run_after_a_requeue(job: Job) -> None:
    before = job.worker("1")
    assert before.take(0)
    assert before.take(1)
    before.end(1)
    # its folder failed while it made the claim of the first: it has said its last word, and nothing of that test
    before.say_ended()
    assert job.start_again() == 0
    (lost,) = [event for event in job.said() if isinstance(event, ev.WorkerLost)]
    assert (lost.worker, lost.node, stems(lost.tests)) == ("1", "n1", ["a"])
    assert sorted(name for node in job.nodes for name in node.ran) == ["a", "c"]
    assert [event.reason for event in job.said() if isinstance(event, ev.AgentEnded)] == [EndReason.DONE]


def test_an_ended_worker_that_settled_all_it_had_is_not_lost(job: Job) -> None:
    before = job.worker("1")
    assert before.take(1)
    before.end(1)
    before.say_ended()
    assert job.start_again() == 0
    assert not [event for event in job.said() if isinstance(event, ev.WorkerLost)]
    assert sorted(name for node in job.nodes for name in node.ran) == ["a", "c"]


def test_each_start_of_the_job_has_whole_numbers_of_its_own_also_after_two_heads_that_died(job: Job) -> None:
    first, second = job.worker("1"), job.worker("2")
    # the second head died when it had started one of its two workers, which took a test of the first
    third = job.worker("3")
    job.files.again(0).touch()
    assert first.take(0)
    assert second.take(1)
    assert third.take(0, 2)
    assert job.start_again() == 0
    assert [node.number for node in job.nodes] == ["5", "6"]
    lost = {event.worker: event for event in job.said() if isinstance(event, ev.WorkerLost)}
    assert sorted(lost) == ["1", "2", "3"]
    assert {event.because for event in lost.values()} == {"the job was started again"}
    assert sorted(name for node in job.nodes for name in node.ran) == ["b", "c"]
    (not_run,) = [event for event in job.said() if isinstance(event, ev.TestNotRun)]
    assert (Path(not_run.test).stem, not_run.verdict) == ("a", Verdict.INFRA)
    assert "two workers were lost while they had it" in not_run.because


def test_a_job_that_slurm_takes_after_its_submitter_gave_it_up_runs_nothing(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.files.withdrawn.touch()
    assert job.start_again() == ExitCode.INFRASTRUCTURE
    assert (job.nodes, job.said()) == ([], [])
    assert "sbatch brought no answer, and run has ended without this job" in capsys.readouterr().err
