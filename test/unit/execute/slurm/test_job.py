"""What a run makes of Slurm's answers about its job."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.executors import ExecutorKind
from ci.catalog.verdicts import Verdict
from ci.execute.run_folder import RunFolder
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.job import SlurmJob
from ci.record import events as ev
from ci.slurm.client import SlurmError
from ci.system.process import Completed
from support.planning import catalog, on_cluster, planned, registration, request
from support.slurm_answers import FORGOTTEN, NO_SLURM, Controller, answer, shown

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


def lost_at(job: SlurmJob, moments: list[float], moment_s: float) -> str:
    """Why the head is lost, by a look at this moment."""
    moments.append(moment_s)
    looks(job, 1)
    return job.lost_head


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says, last of all."""
    found = [1000.0]
    monkeypatch.setattr("ci.system.clock.monotonic_s", lambda: found[-1])
    return found


@pytest.mark.parametrize("beats", [True, False], ids=["later", "before its first beat"])
def test_a_head_that_is_lost_with_its_node_is_seen_whenever_that_was(
    job: Callable[..., SlurmJob],
    tmp_path: Path,
    moments: list[float],
    monkeypatch: pytest.MonkeyPatch,
    *,
    beats: bool,
) -> None:
    running, slurm = job(), Controller()
    monkeypatch.setattr("ci.slurm.client.capture", slurm)
    if beats:
        (tmp_path / "slurm/beat").write_text("n1\n1\n")
    assert not lost_at(running, moments, 1001.0)
    slurm.node_state = "down* Not responding"
    # a head may be slow to begin
    assert not lost_at(running, moments, 1015.0)
    assert lost_at(running, moments, 1022.0) == "node n1 is down* Not responding"
    failure = running.failure(stopped=False)
    assert (failure.what, failure.verdict) == (
        "job 7 has lost its head: node n1 is down* Not responding",
        Verdict.INFRA,
    )


def test_a_head_that_is_slow_on_a_healthy_node_is_waited_for(
    job: Callable[..., SlurmJob], moments: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, slurm = job(), Controller("PENDING")
    monkeypatch.setattr("ci.slurm.client.capture", slurm)
    assert not lost_at(running, moments, 5000.0)
    slurm.state = "RUNNING"
    assert not lost_at(running, moments, 5001.0)
    assert slurm.of("sinfo") == [], "the time in the queue does not count"
    assert not lost_at(running, moments, 5100.0)
    assert slurm.of("sinfo")


def test_a_submission_without_an_answer_is_withdrawn_by_its_name_and_for_whenever_slurm_takes_it(
    job: Callable[..., SlurmJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted, slurm = job(), Controller()
    slurm.silent["sbatch"] = 1
    monkeypatch.setattr("ci.slurm.client.capture", slurm)
    with pytest.raises(SlurmError, match="no answer from Slurm"):
        submitted.submit("amdci-1")
    assert slurm.of("scancel") == [("scancel", f"--name={tmp_path.name}")]
    assert SlurmFiles(run=tmp_path).withdrawn.exists()


@pytest.mark.parametrize(
    ("exit_code", "words"), [("0:53", "on node n1: "), ("0:9", "on node n1 or was killed at once: ")]
)
def test_a_head_that_said_nothing_may_have_been_killed(
    job: Callable[..., SlurmJob], exit_code: str, words: str
) -> None:
    ended = job(RUNNING, shown("FAILED", exit_code))
    looks(ended, 2)
    assert f"its batch script did not begin {words}" in ended.failure(stopped=False).cause
