"""What the log of a job says: values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ci.plan.tree.model import TestCall
from ci.repro.log.text import LogLine

__all__ = ["Attempt", "Call", "FileEnd", "JobLog", "SetUp", "Step"]

# in names of runners and jobs, and of the scripts that AMD's jobs call
_AMD: Final = re.compile(r"(?<![a-z0-9])(?:mi\d{2,3}x?|gfx9\d+|amd|rocm\d*)(?![a-z0-9])|amd_ci_")


class FileEnd(StrEnum):
    """How an attempt at a test file ended; `unfinished` when the log does not have its end."""

    PASSED = "passed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNFINISHED = "unfinished"


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of a test file: its lines are `begin` to `end`, numbers of the log's lines; 0 when only its result is there.

    `cases` are those that failed, `Class::test_x`, a whole class by its name alone; `whole` means that the file itself failed
    outside of a case. `because` is the runner's word, `exit_code` negative for a signal.
    """

    file: str
    begin: int
    end: int = 0
    ended: FileEnd = FileEnd.UNFINISHED
    because: str = ""
    exit_code: int | None = None
    elapsed_s: float | None = None
    cases: tuple[str, ...] = ()
    setups: tuple[str, ...] = ()
    whole: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """One command that ran tests, as the step's script or the runner's table has it, and every attempt in it.

    `amount` is how many files it was to run, None when the log does not say; `none_found` when the runner found no test.
    """

    line: int
    test_call: TestCall
    attempts: list[Attempt] = field(default_factory=list)
    amount: int | None = None
    runs: int = 0
    none_found: bool = False

    @property
    def last(self) -> Mapping[str, Attempt]:
        """The last attempt at each file, in the order in which they ended."""
        return {attempt.file: attempt for attempt in self.attempts}

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """The last attempts that failed, timed out, or did not end."""
        return tuple(attempt for attempt in self.last.values() if attempt.ended is not FileEnd.PASSED)

    @property
    def flaky(self) -> tuple[str, ...]:
        """Files that failed and passed later in this log."""
        bad = {each.file for each in self.attempts if each.ended in (FileEnd.FAILED, FileEnd.TIMEOUT)}
        return tuple(file for file, each in self.last.items() if file in bad and each.ended is FileEnd.PASSED)


@dataclass(slots=True, kw_only=True)
class Step:
    """A step of a job: the script that it ran, the first and the last line of its output, and the runner's last word on it.

    `error` is what the runner says when it failed, empty when it did not or when the log was cut.
    """

    name: str
    script: str
    begin: int
    end: int = 0
    error: str = ""
    calls: list[Call] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SetUp:
    """What was found out before the tests, each as the log says it; empty when it does not.

    `commit` is the checkout's, `merged` the pull request's own commit where that is a merge, `base` what it was merged into. `rocm` is `720`. `notes` are what
    else set-up did, a line each.
    """

    runner: str = ""
    commit: str = ""
    merged: str = ""
    base: str = ""
    image: str = ""
    image_from: str = ""
    rocm: str = ""
    rocm_from: str = ""
    hardware: str = ""
    date: str = ""
    aiter: str = ""
    triton: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class JobLog:
    """One job: `name` is empty when the log does not say it. `lines` are all of its lines."""

    name: str
    lines: Sequence[LogLine]
    steps: list[Step]
    set_up: SetUp

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every command that ran tests, in the order of the log."""
        return tuple(call for step in self.steps for call in step.calls)

    @property
    def amd(self) -> bool:
        """Whether it is a job on AMD's GPUs: by its name, its runner, or the scripts that it ran."""
        words = (self.name, self.set_up.runner, *(step.script for step in self.steps))
        return bool(self.calls) or any(_AMD.search(text) for text in words)

    @property
    def stopped_early(self) -> Step | None:
        """The step that ended before a test of it began: any step of a job that ran no test, else one that was to run tests."""
        ran = any(call.attempts or call.none_found for call in self.calls)
        for step in self.steps if self.amd else ():
            begun = any(call.attempts or call.none_found for call in step.calls)
            if step.error and not begun and (step.calls or not ran):
                return step
        return None
