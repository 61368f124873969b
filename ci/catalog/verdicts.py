"""Verdicts of attempts and statuses of tests: the two closed sets, and what follows from each member.

A member carries its row: to add a verdict is to add one member here, and the rules that give it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from ci.errors import ExitCode

__all__ = ["CAUSES", "RETRIABLE", "Gates", "Status", "StatusRow", "Tone", "Verdict", "VerdictRow"]

Tone = Literal["plain", "title", "good", "bad", "warn", "dim"]


class Gates(StrEnum):
    """Whether an attempt with this verdict counts against the run."""

    NEVER = "never"
    UNLESS_QUARANTINED = "unless-quarantined"
    # a row for single cases does not excuse it
    UNLESS_FILE_QUARANTINED = "unless-file-quarantined"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """What follows from a verdict.

    `cause`: a failed case or a rule over its log may give it. `retriable`: a retry row may name it. `phase`: an error of
    its exit code that stops an executor's phase becomes it. `about_code`: it speaks about the code under test, so JUnit's
    readers get a failure and not an error. `then` is the next step of whoever reads the failure, one sentence; empty where nothing
    failed.
    """

    exit_code: ExitCode
    words: str
    gates: Gates = Gates.UNLESS_QUARANTINED
    cause: bool = False
    retriable: bool = False
    phase: bool = False
    about_code: bool = False
    then: str = ""


class Verdict(StrEnum):
    """Why an attempt, or a phase of the run, ended as it did; worst for the code under test first."""

    row: VerdictRow

    def __new__(cls, value: str, row: VerdictRow) -> Self:
        """Make a member out of its value and its row."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.row = row
        return member

    PRODUCT = (
        "product",
        VerdictRow(
            exit_code=ExitCode.TESTS_FAILED,
            words="the code under test failed",
            cause=True,
            phase=True,
            about_code=True,
            then="Repeat it with the line below; ./inv repro RUN --run --bisect GOOD..BAD finds the commit, RUN being that run.",
        ),
    )
    DEVICE = (
        "device",
        VerdictRow(
            exit_code=ExitCode.TESTS_FAILED,
            words="the GPU stopped; whether by the code or by the hardware is undecided",
            cause=True,
            retriable=True,
            then="Repeat it on another machine: a second stop there is the code's, none there is the first machine's.",
        ),
    )
    UNKNOWN = (
        "unknown",
        VerdictRow(
            exit_code=ExitCode.TESTS_FAILED,
            words="nothing explains the end",
            cause=True,
            retriable=True,
            then="Read the end of its log, then repeat it once: the same end again is the code's.",
        ),
    )
    BOUNDS = (
        "bounds",
        VerdictRow(
            exit_code=ExitCode.BOUNDS,
            words="only bounds were broken",
            cause=True,
            about_code=True,
            then="Compare with the last runs on this hardware class: a bound within their spread is wrong, a step out of it is the code's.",
        ),
    )
    TIMEOUT = (
        "timeout",
        VerdictRow(
            exit_code=ExitCode.TIMEOUT,
            words="timed out",
            gates=Gates.UNLESS_FILE_QUARANTINED,
            cause=True,
            retriable=True,
            phase=True,
            then="See in its last lines what it waited for, then repeat it alone: what hangs again is the code's.",
        ),
    )
    TIMEOUT_WHILE_PASSING = (
        "timeout-while-passing",
        VerdictRow(
            exit_code=ExitCode.TIMEOUT,
            words="timed out, and no case had failed",
            gates=Gates.UNLESS_FILE_QUARANTINED,
            then="Compare its time with earlier runs: when the machine was no slower, raise the limit or split the file.",
        ),
    )
    OOM = (
        "oom",
        VerdictRow(
            exit_code=ExitCode.INFRASTRUCTURE,
            words="memory was used up by something else",
            cause=True,
            retriable=True,
            then="Free the memory that the evidence names, then run the job again; nothing is known of the code.",
        ),
    )
    INFRA = (
        "infra",
        VerdictRow(
            exit_code=ExitCode.INFRASTRUCTURE,
            words="a machine, disk, network or tool failed",
            cause=True,
            retriable=True,
            phase=True,
            then="Run the job again; when it comes back, hand the evidence to whoever keeps that machine or service.",
        ),
    )
    HARDWARE = (
        "hardware",
        VerdictRow(
            exit_code=ExitCode.INFRASTRUCTURE,
            words="the GPU is broken or missing",
            cause=True,
            retriable=True,
            then="Take the runner out of service with this evidence, and run the job on another one.",
        ),
    )
    GUARD = (
        "guard",
        VerdictRow(
            exit_code=ExitCode.GUARD,
            words="a protected dependency was changed",
            gates=Gates.ALWAYS,
            phase=True,
            then="See in the evidence which dependency changed and what changed it; pin it there.",
        ),
    )
    USAGE = (
        "usage",
        VerdictRow(
            exit_code=ExitCode.USAGE,
            words="the request or the configuration is invalid",
            gates=Gates.ALWAYS,
            phase=True,
            then="Fix what the message names; no test is to blame.",
        ),
    )
    CANCELLED = (
        "cancelled",
        VerdictRow(
            exit_code=ExitCode.INTERRUPTED,
            words="the run was stopped",
            gates=Gates.ALWAYS,
            phase=True,
            then="Nothing failed by itself: run the job again where its result is needed.",
        ),
    )
    PASSED = ("passed", VerdictRow(exit_code=ExitCode.OK, words="nothing failed", gates=Gates.NEVER))

    @classmethod
    def of_phase(cls, code: int) -> "Verdict":
        """The verdict of a phase that an error with this exit code stopped."""
        return next(
            (verdict for verdict in cls if verdict.row.phase and verdict.row.exit_code == code), cls.INFRA
        )

    @classmethod
    def of_name(cls, name: str) -> "Verdict":
        """The verdict of this name; `unknown` for a name that only another version has."""
        return next((verdict for verdict in cls if verdict == name), cls.UNKNOWN)


CAUSES: Collection[Verdict] = tuple(verdict for verdict in Verdict if verdict.row.cause)
RETRIABLE: Collection[Verdict] = tuple(verdict for verdict in Verdict if verdict.row.retriable)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """What follows from a status, and how it is shown.

    `judged`: it says something about the test; a run in which no test has such a status selected nothing. `ok`: it
    counts as a pass. `set_aside`: it says nothing about the code, so it has a reason and no verdict. `label` is shown in logs, `icon` in the summary, `colour` in the final view.
    """

    words: str
    label: str
    icon: str
    tone: Tone
    colour: str
    judged: bool = False
    ok: bool = False
    set_aside: bool = False


class Status(StrEnum):
    """How a test ended, all its attempts taken together; reports count in this order."""

    row: StatusRow

    def __new__(cls, value: str, row: StatusRow) -> Self:
        """Make a member out of its value and its row."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.row = row
        return member

    PASSED = (
        "passed",
        StatusRow(
            words="every case passed",
            label="PASS",
            icon="✅",
            tone="good",
            colour="green",
            judged=True,
            ok=True,
        ),
    )
    FAILED = (
        "failed",
        StatusRow(
            words="it counts against the run",
            label="FAIL",
            icon="❌",
            tone="bad",
            colour="bold red",
            judged=True,
        ),
    )
    FLAKY = (
        "flaky",
        StatusRow(
            words="an earlier attempt failed, the last one passed",
            label="FLAKY",
            icon="🔁",
            tone="warn",
            colour="yellow",
            judged=True,
            ok=True,
        ),
    )
    SKIPPED = (
        "skipped",
        StatusRow(
            words="every case skipped itself",
            label="SKIP",
            icon="⏭️",
            tone="dim",
            colour="dim",
            set_aside=True,
        ),
    )
    XFAILED = (
        "xfailed",
        StatusRow(
            words="every case that was not skipped is expected to fail, with no date",
            label="XFAIL",
            icon="🚧",
            tone="warn",
            colour="yellow",
            set_aside=True,
        ),
    )
    NEEDS_GPU = (
        "needs-gpu",
        StatusRow(
            words="it stopped where it needed a GPU",
            label="NEEDS GPU",
            icon="🖥️",
            tone="warn",
            colour="cyan",
            set_aside=True,
        ),
    )
    NOT_JUDGED = (
        "not-judged",
        StatusRow(
            words="it judges a model that a stand-in replaced",
            label="NOT JUDGED",
            icon="⚖️",
            tone="warn",
            colour="cyan",
            set_aside=True,
        ),
    )
    QUARANTINED = (
        "quarantined",
        StatusRow(
            words="it failed in what is quarantined and in nothing else",
            label="QUARANTINED",
            icon="🚧",
            tone="warn",
            colour="magenta",
            judged=True,
        ),
    )
    CANCELLED = (
        "cancelled",
        StatusRow(
            words="it was stopped before it ended", label="CANCELLED", icon="⛔", tone="warn", colour="yellow"
        ),
    )
    NOT_RUN = (
        "not-run",
        StatusRow(
            words="it was selected and never started",
            label="NOT RUN",
            icon="⛔",
            tone="warn",
            colour="yellow",
        ),
    )

    @classmethod
    def of_name(cls, name: str) -> "Status":
        """The status of this name.

        Raises:
            StopIteration: there is none.
        """
        return next(status for status in cls if status == name)

    @property
    def plain(self) -> str:
        """`not run`."""
        return self.value.replace("-", " ")
