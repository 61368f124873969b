"""`./inv slurm.attach|list|cancel` where there is nothing to follow or to end."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.executors import ExecutorKind
from ci.cli.slurm import attach_verb, cancel_verb, list_verb
from ci.errors import CiError, ExitCode
from ci.record.event_log import line_of
from ci.record.events import RunEnded
from ci.system.process import Completed
from support.planning import catalog, on_cluster, planned, registration, request
from support.records import run_events
from support.slurm_answers import FORGOTTEN, NO_SLURM, answer, shown

RUN = "20260101T000000Z-stage-a-amd-1"
ENDED, NO_JOB = shown("COMPLETED"), answer()


def attach(runs: Path, name: str) -> None:
    attach_verb({"AMD_CI_RUNS": str(runs)}, name)


def cancel(runs: Path, name: str) -> None:
    cancel_verb({"AMD_CI_RUNS": str(runs)}, name)


def write_run(runs: Path, name: str = RUN, *, job: str = "", ended: bool = False) -> None:
    """The folder of a run of one test; without `job` its submitter has not written down which it is."""
    asked = request(executor=ExecutorKind.SLURM)
    plan = planned(catalog(), on_cluster([registration("test/registered/a.py")], "laptop"), asked)
    folder = runs / name
    (folder / "slurm").mkdir(parents=True)
    (folder / "plan.json").write_text(plan.text())
    events = [*run_events({}, run=name), *([RunEnded(exit_code=1)] if ended else [])]
    (folder / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    (folder / "slurm/spec.json").write_text("{}")
    if job:
        (folder / "slurm/job.json").write_text(json.dumps({"job": job}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Completed], list[str]]:
    """Have all of Slurm's programs answer so; the list gets the names of those that are called."""

    def answered(one: Completed) -> list[str]:
        called: list[str] = []

        def capture(argv: Sequence[str], **_: object) -> Completed:
            called.append(argv[0])
            return replace(one, argv=tuple(argv))

        monkeypatch.setattr("ci.slurm.client.capture", capture)
        return called

    return answered


Asked = Callable[[Completed], list[str]]


@pytest.mark.parametrize("verb", [attach, cancel])
def test_an_unknown_run(tmp_path: Path, asked: Asked, verb: Callable[[Path, str], None]) -> None:
    called = asked(NO_JOB)
    write_run(tmp_path, job="7")
    with pytest.raises(CiError, match="unknown run 2027") as caught:
        verb(tmp_path, "2027")
    assert caught.value.exit_code is ExitCode.USAGE
    assert not called


@pytest.mark.parametrize("verb", [attach, cancel])
def test_a_run_without_a_job(tmp_path: Path, asked: Asked, verb: Callable[[Path, str], None]) -> None:
    asked(NO_JOB)
    write_run(tmp_path)
    with pytest.raises(CiError, match=f"{RUN} has no job") as caught:
        verb(tmp_path, RUN)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("verb", [attach, cancel])
def test_a_run_whose_job_is_not_known_where_there_is_no_slurm(
    tmp_path: Path, asked: Asked, verb: Callable[[Path, str], None]
) -> None:
    asked(NO_SLURM)
    write_run(tmp_path)
    with pytest.raises(CiError, match="no answer from Slurm: No such file") as caught:
        verb(tmp_path, RUN)
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE


def test_a_run_that_has_ended_is_not_followed_again(tmp_path: Path, asked: Asked) -> None:
    asked(ENDED)
    write_run(tmp_path, job="7", ended=True)
    with pytest.raises(CiError, match=f"{RUN} has ended with exit code 1") as caught:
        attach(tmp_path, RUN)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(tmp_path / RUN / "summary.md") in caught.value.then


@pytest.mark.parametrize("state", [ENDED, FORGOTTEN])
def test_a_job_that_has_ended_is_not_cancelled(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str], state: Completed
) -> None:
    called = asked(state)
    write_run(tmp_path, job="7")
    cancel(tmp_path, RUN)
    assert f"job 7 of {RUN} has ended already" in "".join(capsys.readouterr())
    assert called == ["scontrol"]


def test_a_job_cannot_be_cancelled_where_there_is_no_slurm(tmp_path: Path, asked: Asked) -> None:
    asked(NO_SLURM)
    write_run(tmp_path, job="7")
    with pytest.raises(CiError, match="no answer from Slurm") as caught:
        cancel(tmp_path, RUN)
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE


def listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    list_verb({"AMD_CI_RUNS": str(runs)}, as_json=True)
    return [(row["run"], row["job"], row["state"]) for row in json.loads(capsys.readouterr().out)]


def test_runs_without_a_job_are_not_listed(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(NO_JOB)
    assert listed(tmp_path / "none", capsys) == []
    write_run(tmp_path)
    assert listed(tmp_path, capsys) == []


def test_the_end_of_a_forgotten_job_is_what_its_head_wrote(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(FORGOTTEN)
    write_run(tmp_path, "1-a", job="7")
    write_run(tmp_path, "2-b", job="8")
    (tmp_path / "2-b/slurm/end.json").write_text("{}")
    assert listed(tmp_path, capsys) == [
        ("2-b", "8", "ended"),
        ("1-a", "7", "forgotten by Slurm, ended without its last word"),
    ]


def test_a_slurm_that_does_not_answer_is_asked_once_for_all_runs(
    tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    called = asked(NO_SLURM)
    write_run(tmp_path, "1-a", job="7")
    write_run(tmp_path, "2-b", job="8")
    unknown = "unknown: no answer from Slurm: No such file or directory"
    assert listed(tmp_path, capsys) == [("2-b", "8", unknown), ("1-a", "7", unknown)]
    assert called == ["scontrol"]
