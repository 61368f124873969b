"""What Slurm answers, as its client hands it on; the answers are those of Slurm 22.05."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.errors import ExitCode
from ci.plan.facts import PartitionFact
from ci.slurm.argv import SCRIPT
from ci.slurm.client import Job, Slurm, SlurmError
from ci.slurm.states import JobState
from ci.system.process import Completed

DATA = Path(__file__).parents[2] / "data/slurm"
JOBS = {line.split()[0].removeprefix("JobId="): line for line in (DATA / "jobs.txt").read_text().splitlines()}
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified\n"
GONE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


class Programs:
    """Slurm's programs: what each call was, and one answer for all."""

    def __init__(self, *, out: str = "", err: str = "", code: int | None = 0, why: str = "") -> None:
        self.answer = Completed(argv=(), code=code, stdout=out.encode(), stderr=err.encode(), why=why)
        self.calls: list[tuple[tuple[str, ...], bytes]] = []

    def __call__(self, argv: Sequence[str], *, stdin: bytes = b"", **_: object) -> Completed:
        self.calls.append((tuple(argv), stdin))
        return replace(self.answer, argv=tuple(argv))


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Slurm, Programs]]:
    def made(row: str = "", **answer: Any) -> tuple[Slurm, Programs]:
        programs = Programs(**answer)
        monkeypatch.setattr("ci.slurm.client.capture", programs)
        return Slurm({}, row=row), programs

    return made


Made = Callable[..., tuple[Slurm, Programs]]


def test_the_configuration_has_the_name_of_the_cluster(slurm: Made) -> None:
    config = slurm(out=(DATA / "config.txt").read_text())[0].config()
    assert config["ClusterName"] == "ci"
    assert config["BatchStartTimeout"] == "5 sec"
    assert config["AuthAltTypes"] == ""


def test_partitions_have_their_limits_in_minutes(slurm: Made) -> None:
    found = {one.name: one for one in slurm(out=(DATA / "partitions.txt").read_text())[0].partitions()}
    assert found["ci"] == PartitionFact(name="ci", default=True, up=True, limit_min=60, nodes=2)
    assert found["short"].limit_min == 1
    assert found["long"].limit_min == 26 * 60
    assert found["off"] == PartitionFact(name="off", default=False, up=False, limit_min=None, nodes=1)


@pytest.mark.parametrize(
    ("job", "state", "reason", "code", "signal", "nodes", "batch_node"),
    [
        ("1", JobState.FAILED, "NonZeroExitCode", 9, 0, "n1", "n1"),
        ("2", JobState.CANCELLED, "", 0, 15, "n1", "n1"),
        ("3", JobState.FAILED, "JobLaunchFailure", 0, 9, "n1", "n1"),
        ("4", JobState.NODE_FAIL, "NodeDown", 0, 0, "n2", "n2"),
        ("5", JobState.PENDING, "BeginTime", 0, 0, "", ""),
        # its command prints `JobState=FAILED Reason=Lie`
        ("7", JobState.COMPLETED, "", 0, 0, "n[1-2]", "n1"),
    ],
)
def test_a_job(
    slurm: Made, job: str, state: JobState, reason: str, code: int, signal: int, nodes: str, batch_node: str
) -> None:
    assert slurm(out=JOBS[job])[0].job(job) == Job(
        id=job,
        state=state,
        reason=reason,
        exit_code=code,
        signal=signal,
        nodes=nodes,
        batch_node=batch_node,
    )


def test_a_forgotten_job_is_none_and_a_dead_controller_is_not(slurm: Made) -> None:
    assert slurm(err=FORGOTTEN, code=1)[0].job("9") is None
    with pytest.raises(SlurmError) as caught:
        slurm(err=GONE, code=1)[0].job("9")
    assert "Unable to contact slurm controller" in caught.value.cause


@pytest.mark.parametrize(
    ("text", "state", "code", "nodes"),
    [
        ("2|CANCELLED by 0|0:0|n1|None", JobState.CANCELLED, 0, "n1"),
        ("1|FAILED|9:0|n1|None", JobState.FAILED, 9, "n1"),
        ("5|REQUEUED|0:0|n1|None\n5|PENDING|0:0|None assigned|BeginTime", JobState.PENDING, 0, ""),
    ],
)
def test_a_job_of_the_accounting(slurm: Made, text: str, state: JobState, code: int, nodes: str) -> None:
    job = slurm(out=f"{text}\n")[0].accounted("1")
    assert job is not None
    assert (job.state, job.exit_code, job.nodes) == (state, code, nodes)
    assert slurm()[0].accounted("1") is None


def test_a_submission_is_the_constant_script_and_gives_the_id(slurm: Made) -> None:
    client, programs = slurm(out="123;ci\n")
    argv = ["sbatch", "--parsable", "/dev/stdin", "a b", "$HOME"]
    assert client.submit(argv, cwd=Path("/"), environ={}) == "123"
    assert programs.calls == [(tuple(argv), SCRIPT)]


@pytest.mark.parametrize("out", ["123\n", "Quota: 7 of 100 hours\n123;ci\nWelcome\n"])
def test_the_id_of_a_job_is_found_among_other_words(slurm: Made, out: str) -> None:
    assert slurm(out=out)[0].submit(["sbatch"], cwd=Path("/"), environ={}) == "123"


@pytest.mark.parametrize("out", ["", "Submitted\n"])
def test_an_answer_without_an_id_is_an_error_that_shows_it(slurm: Made, out: str) -> None:
    with pytest.raises(SlurmError, match="sbatch named no job") as caught:
        slurm(out=out)[0].submit(["sbatch"], cwd=Path("/"), environ={})
    assert repr(out.strip()) in caught.value.cause


def test_a_refusal_has_slurms_words_and_names_the_row(slurm: Made) -> None:
    err = (
        "sbatch: error: invalid partition specified: nosuch\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    client, _ = slurm(err=err, code=1, row="clusters.toml:4: cluster[ci]")
    with pytest.raises(SlurmError) as caught:
        client.submit(["sbatch"], cwd=Path("/"), environ={})
    error = caught.value
    assert error.exit_code is ExitCode.INFRASTRUCTURE
    assert "clusters.toml:4: cluster[ci]" in error.what
    words = (
        "invalid partition specified: nosuch; Batch job submission failed: Invalid partition name specified"
    )
    assert error.cause == words


def test_without_slurm_the_message_says_so(slurm: Made) -> None:
    client, _ = slurm(code=None, why="scontrol: No such file or directory")
    with pytest.raises(SlurmError, match="No such file") as caught:
        client.config()
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({}, ("scancel", "7")),
        ({"signal": "TERM", "batch": True}, ("scancel", "--signal=TERM", "--batch", "7")),
    ],
)
def test_a_cancellation(slurm: Made, keywords: Mapping[str, Any], words: tuple[str, ...]) -> None:
    client, programs = slurm()
    client.cancel("7", **keywords)
    assert programs.calls == [(words, b"")]


def test_a_job_that_has_ended_is_left_alone_and_a_dead_controller_is_said(slurm: Made) -> None:
    slurm(err="scancel: error: Kill job error on job id 7: Invalid job id specified\n", code=1)[0].cancel("7")
    with pytest.raises(SlurmError) as caught:
        slurm(err=GONE, code=8)[0].cancel("7", signal="TERM")
    assert caught.value.then == "scancel 7"


def test_the_address_of_a_node_is_the_one_that_slurm_uses(slurm: Made) -> None:
    line = "NodeName=n2 Arch=x86_64 NodeAddr=10.0.0.2 NodeHostName=n2.example Version=22.05.8\n"
    client, programs = slurm(out=line)
    assert client.address("n2") == "10.0.0.2"
    assert programs.calls[0][0] == ("scontrol", "show", "node", "--oneliner", "n2")


def test_a_job_is_found_and_ended_by_its_name_alone(slurm: Made) -> None:
    client, programs = slurm(out="7\n")
    assert client.named("a-run") == "7"
    client.cancel_named("a-run")
    assert slurm()[0].named("a-run") == ""
    assert [argv[0] for argv, _ in programs.calls] == ["squeue", "scancel"]
    assert all("--name=a-run" in argv for argv, _ in programs.calls)
