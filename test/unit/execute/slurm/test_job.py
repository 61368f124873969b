"""What a run makes of Slurm's answers about its job."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.executors import ExecutorKind
from ci.catalog.verdicts import Verdict
from ci.execute.run_folder import RunFolder
from ci.execute.slurm.job import SlurmJob
from ci.record import events as ev
from ci.system.process import Completed
from support.planning import catalog, on_cluster, planned, registration, request
from support.slurm_answers import FORGOTTEN, NO_SLURM, answer, shown

RUNNING, FAILED = shown("RUNNING"), shown("FAILED", "3:0")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SlurmJob]:
    """Job 7 of a run, after these answers."""
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/job.json").write_text('{"job": "7"}')
    asked = request(executor=ExecutorKind.SLURM)
    plan = planned(catalog(), on_cluster([registration("test/registered/a.py")], "laptop"), asked)

    def made(*answers: Completed) -> SlurmJob:
        waiting = list(answers)

        def capture(argv: Sequence[str], **_: object) -> Completed:
            said = answer("n1\n") if "hostnames" in argv else waiting.pop(0)
            return replace(said, argv=tuple(argv))

        monkeypatch.setattr("ci.slurm.client.capture", capture)
        return SlurmJob(plan, RunFolder(path=tmp_path), {})

    return made


def looks(job: SlurmJob, times: int) -> list[ev.Event]:
    return [event for _ in range(times) for event in job.look(now=True)]


def test_a_job_that_slurm_forgets_has_ended_and_nobody_knows_how(job: Callable[..., SlurmJob]) -> None:
    forgotten = job(RUNNING, FORGOTTEN)
    looks(forgotten, 1)
    assert (forgotten.begun, forgotten.ended) == (True, False)
    assert looks(forgotten, 1) == []
    assert (forgotten.begun, forgotten.ended, forgotten.was_taken) == (True, True, False)
    assert forgotten.words == "Slurm has forgotten it"
    failure = forgotten.failure(stopped=False)
    assert failure.what == "job 7 is over, and its head has not said how the run ended"
    assert "MinJobAge" in failure.cause
    assert failure.verdict is Verdict.INFRA
    assert forgotten.failure(stopped=True).verdict is Verdict.CANCELLED


def test_a_job_that_was_forgotten_before_the_first_look_has_ended(job: Callable[..., SlurmJob]) -> None:
    forgotten = job(FORGOTTEN)
    assert looks(forgotten, 1) == []
    assert forgotten.ended
    assert "MinJobAge" in forgotten.failure(stopped=False).cause


def test_a_job_that_was_seen_to_end_ended_so(job: Callable[..., SlurmJob]) -> None:
    failed = job(RUNNING, FAILED)
    assert [event.state for event in looks(failed, 2) if isinstance(event, ev.Job)] == ["RUNNING", "FAILED"]
    assert failed.ended
    assert "Slurm: FAILED, reason none, exit code 3:0" in failed.failure(stopped=False).cause


def test_a_slurm_that_does_not_answer_has_not_ended_the_job(job: Callable[..., SlurmJob]) -> None:
    silent = job(RUNNING, NO_SLURM, NO_SLURM, RUNNING)
    looks(silent, 1)
    (note,) = looks(silent, 2)
    assert isinstance(note, ev.Note)
    assert "Slurm does not answer, the run goes on: no answer from Slurm" in note.text
    assert not silent.ended
    assert [getattr(event, "text", "") for event in looks(silent, 1)] == ["Slurm answers again"]
