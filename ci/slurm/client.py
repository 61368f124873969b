"""The one door to Slurm's programs. What they refuse is one exception, with their own words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from ci.errors import InfrastructureError
from ci.plan.facts import PartitionFact
from ci.slurm.argv import SCRIPT
from ci.slurm.states import JobState
from ci.system.process import Completed, capture

__all__ = ["Job", "Slurm", "SlurmError"]

_NO_JOB: Final = "Invalid job id specified"
_NULL: Final = "(null)"
_ACCOUNTED: Final = "JobIDRaw,State,ExitCode,NodeList,Reason"
# how long a program of the first question may take where no rows were read yet
_ANSWER_S: Final = 30.0


class SlurmError(InfrastructureError):
    """Slurm refused, or did not answer; its own words are the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What Slurm says about a job.

    `reason` is why it waits or ended, in Slurm's words, `nodes` its nodes in Slurm's short form, both empty where there is none.
    `exit_code` and `signal` are those of the batch script, `batch_node` is where it runs; it is named also when that node is lost. `ends_s` is when its time is over, or when it ended, in seconds since
    1970; None where that is not known.
    """

    id: str
    state: JobState
    reason: str
    exit_code: int
    signal: int
    nodes: str
    batch_node: str = ""
    ends_s: float | None = field(default=None, compare=False)


class Slurm:
    """The Slurm of this machine.

    `row` names the row of clusters.toml whose values are asked for, for messages.
    """

    def __init__(self, environ: Mapping[str, str], *, answer_s: float = _ANSWER_S, row: str = "") -> None:
        """Nothing is asked yet; `environ` is what Slurm's programs run with."""
        self._environ = environ
        self._answer_s = answer_s
        self._row = row

    def version(self) -> str:
        """`22.05.8`. Asks no controller.

        Raises:
            SlurmError: there is no Slurm here.
        """
        return self._ask(["sinfo", "--version"]).rpartition(" ")[2]

    def config(self) -> Mapping[str, str]:
        """The controller's configuration: ClusterName, MinJobAge ...

        Raises:
            SlurmError: there is no Slurm here, or no controller answers.
        """
        rows = re.findall(r"^(\S+)\s+= (.*)$", self._ask(["scontrol", "show", "config"]), re.MULTILINE)
        return {name: "" if value == _NULL else value.strip() for name, value in rows}

    def partitions(self) -> tuple[PartitionFact, ...]:
        """The partitions that we may see.

        Raises:
            SlurmError: as `config`.
        """
        text = self._ask(["scontrol", "show", "partition", "--oneliner"])
        return tuple(_partition(line) for line in text.splitlines() if "PartitionName=" in line)

    def hostnames(self, nodes: str) -> tuple[str, ...]:
        """The names of nodes that are given in Slurm's short form, as `n[1-2]`.

        Raises:
            SlurmError: the form is invalid.
        """
        return tuple(self._ask(["scontrol", "show", "hostnames", nodes]).split())

    def node(self, name: str) -> str:
        """A node's state and why it has it, in Slurm's words: `down* Not responding`.

        Raises:
            SlurmError: no controller answers.
        """
        lines = self._ask(["sinfo", "--noheader", "--Node", f"--nodes={name}", "--format=%T %E"]).splitlines()
        return lines[0].strip() if lines else ""

    def address(self, node: str) -> str:
        """The address by which Slurm itself reaches a node.

        Raises:
            SlurmError: there is no such node, or no controller answers.
        """
        return _field(self._ask(["scontrol", "show", "node", "--oneliner", node]), "NodeAddr") or node

    def submit(self, argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> str:
        """Submit a job and return its id; `environ` is the job's own environment.

        Raises:
            SlurmError: Slurm refused it, or `sbatch` named no job.
        """
        done = capture(argv, timeout_s=self._answer_s, cwd=cwd, env=environ, stdin=SCRIPT, own_session=True)
        text = self._answer(done, then=f"sinfo; scontrol show partition; {self._row or 'sbatch --help'}")
        # with several clusters: 123;name
        found = re.search(r"^(\d+)(?:;\S*)?$", text, re.MULTILINE)
        if found is None:
            raise SlurmError("sbatch named no job", cause=f"it printed {text!r}", then="squeue --me")
        return found[1]

    def job(self, job_id: str) -> Job | None:
        """A job; None when Slurm has forgotten it, MinJobAge after its end.

        Raises:
            SlurmError: no controller answers.
        """
        done = self._run(["scontrol", "show", "job", "--oneliner", job_id])
        if done.code not in (0, None) and _NO_JOB in _words(done):
            return None
        return _job(self._answer(done))

    def named(self, name: str) -> str:
        """The id of the job of that name which has not ended; empty where there is none.

        Raises:
            SlurmError: no controller answers.
        """
        ids = self._ask(["squeue", "--noheader", f"--name={name}", "--format=%A"]).split()
        return ids[-1] if ids else ""

    def accounted(self, job_id: str) -> Job | None:
        """A job as the accounting has it, for clusters whose row says that there is one; None when it has none.

        Raises:
            SlurmError: no accounting answers.
        """
        argv = [
            "sacct",
            "--noheader",
            "--allocations",
            "--duplicates",
            "--parsable2",
            f"--format={_ACCOUNTED}",
        ]
        lines = self._ask([*argv, "--jobs", job_id]).splitlines()
        # a job that was started again has a line for each start
        return _accounted(lines[-1]) if lines else None

    def cancel(self, job_id: str, *, signal: str = "", batch: bool = False) -> None:
        """End a job, or send it a signal; `batch`: only its batch script gets it. One that has ended is left alone.

        Raises:
            SlurmError: no controller answers, or the job is another user's.
        """
        words = [*([f"--signal={signal}"] if signal else []), *(["--batch"] if batch else [])]
        done = self._run(["scancel", *words, job_id])
        if done.code in (0, None) or not any(text in _words(done) for text in (_NO_JOB, "already completed")):
            self._answer(done, then=f"scancel {job_id}")

    def cancel_named(self, name: str) -> None:
        """End every job of that name, if there is one.

        Raises:
            SlurmError: no controller answers.
        """
        self._ask(["scancel", f"--name={name}"])

    def _run(self, argv: Sequence[str]) -> Completed:
        # one that is cut off in the middle may or may not have reached the controller
        return capture(argv, timeout_s=self._answer_s, env=self._environ, own_session=True)

    def _ask(self, argv: Sequence[str]) -> str:
        return self._answer(self._run(argv))

    def _answer(self, done: Completed, *, then: str = "sinfo; scontrol ping") -> str:
        if done.code == 0:
            return done.text
        program = done.argv[0]
        if done.code is None:
            raise SlurmError(
                f"no answer from Slurm: {done.why}",
                cause=f"{program} is not on the PATH, or hangs",
                then=then,
            )
        named = f", asked for by {self._row}" if self._row else ""
        raise SlurmError(f"{program} failed{named}", cause=_words(done), then=then)


def _words(done: Completed) -> str:
    """What a program said, in one line and without its own name."""
    lines = done.stderr.decode(errors="replace").splitlines() or done.text.splitlines()
    said = [re.sub(r"^\w+: (error|fatal): ", "", line).strip() for line in lines]
    return "; ".join(dict.fromkeys(line for line in said if line)) or f"exit code {done.code}"


def _field(line: str, name: str) -> str:
    """The first value of that name: further ones may stand in the job's command."""
    found = re.search(rf"(?:^| ){name}=(\S*)", line)
    return "" if found is None or found[1] in (_NULL, "None") else found[1]


def _partition(line: str) -> PartitionFact:
    return PartitionFact(
        name=_field(line, "PartitionName"),
        default=_field(line, "Default") == "YES",
        up=_field(line, "State") == "UP",
        limit_min=_minutes(_field(line, "MaxTime")),
        nodes=int(_field(line, "TotalNodes") or 0),
    )


def _minutes(text: str) -> int | None:
    """`1-02:00:00` in whole minutes; None for UNLIMITED."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (24 * days + hours) * 60 + minutes


def _job(line: str) -> Job:
    code, _, signal = _field(line, "ExitCode").partition(":")
    return Job(
        id=_field(line, "JobId"),
        state=JobState.of(_field(line, "JobState")),
        reason=_field(line, "Reason"),
        exit_code=int(code or 0),
        signal=int(signal or 0),
        nodes=_field(line, "NodeList"),
        batch_node=_field(line, "BatchHost"),
        ends_s=_moment_s(_field(line, "EndTime")),
    )


def _moment_s(text: str) -> float | None:
    """Slurm's programs print times of this machine's zone."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _accounted(line: str) -> Job:
    """A line of `sacct`. Not its JSON: 22.05 has exit code 0 there for every job, and later versions have other keys."""
    job_id, state, codes, nodes, reason = line.split("|", 4)
    code, _, signal = codes.partition(":")
    return Job(
        id=job_id,
        state=JobState.of(state),
        reason="" if reason == "None" else reason,
        exit_code=int(code or 0),
        signal=int(signal or 0),
        nodes="" if nodes == "None assigned" else nodes,
    )
