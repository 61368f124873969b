"""The table of errors and exit codes. Standard library alone: the noxfile imports it."""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

__all__ = [
    "EXIT_ROWS",
    "SEVERITY",
    "CiError",
    "ExitCode",
    "ExitRow",
    "FindingsError",
    "GuardError",
    "InfrastructureError",
    "NothingSelectedError",
    "Problem",
    "QuarantineError",
    "StaleError",
    "UsageError",
    "disk_cause",
    "worst",
    "writing",
]


class ExitCode(IntEnum):
    """What a process of this project ends with; README lists the same, `docs/exit-codes.md` is made from it."""

    OK = 0
    TESTS_FAILED = 1
    USAGE = 2
    NOTHING_SELECTED = 3
    INFRASTRUCTURE = 4
    TIMEOUT = 5
    GUARD = 6
    QUARANTINE = 7
    BOUNDS = 8
    STALE = 9
    FINDINGS = 10
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRow:
    """What a code is called: `name` in a list of codes, `result` as the result of a run.

    `meaning` and `first_step` are for the table in the documentation, in Markdown.
    """

    name: str
    result: str
    meaning: str
    first_step: str


# Worst first. A product failure is never hidden by an infrastructure failure beside it.
EXIT_ROWS: Mapping[int, ExitRow] = {
    ExitCode.INTERRUPTED: ExitRow(
        name="interrupted",
        result="interrupted",
        meaning="interrupted",
        first_step="what was recorded until then is in the run folder",
    ),
    ExitCode.USAGE: ExitRow(
        name="usage or configuration",
        result="invalid request or configuration",
        meaning="usage or configuration",
        first_step="the message lists every problem with its place and a hint",
    ),
    ExitCode.GUARD: ExitRow(
        name="guard violated",
        result="dependencies were changed",
        meaning="guard violated: protected dependencies changed",
        first_step="the table names the step that changed them",
    ),
    ExitCode.TESTS_FAILED: ExitRow(
        name="failed",
        result="tests failed",
        meaning="tests failed; `parity`, `contract`, `docs`: something does not fit",
        first_step="read `summary.md` of the run folder; the last line of the run repeats the failed tests",
    ),
    ExitCode.BOUNDS: ExitRow(
        name="bounds broken",
        result="bounds were broken",
        meaning="bounds broken, and nothing else",
        first_step="the message has the row's source",
    ),
    ExitCode.TIMEOUT: ExitRow(
        name="timeout",
        result="timed out",
        meaning="timeout of a file or a suite",
        first_step="compare the estimate with the time taken in the report",
    ),
    ExitCode.INFRASTRUCTURE: ExitRow(
        name="infrastructure",
        result="the infrastructure failed",
        meaning="infrastructure: engine, interpreter, disk, network, GPU",
        first_step="the message has the cause and the next command",
    ),
    ExitCode.QUARANTINE: ExitRow(
        name="expired quarantine",
        result="a quarantine has expired",
        meaning="expired quarantine, or an invalid row of it (no issue, unknown test, `since` after `expires`)",
        first_step="remove the row, or give it a later date with the reason",
    ),
    ExitCode.STALE: ExitRow(
        name="generated file stale",
        result="a generated file is stale",
        meaning="a generated file is stale",
        first_step="the message has the command that makes it again",
    ),
    ExitCode.FINDINGS: ExitRow(
        name="findings about another tree",
        result="another project's tree has problems",
        meaning="findings about another project's tree (`nox -s check -- --checkout PATH`, `nox -s contract`)",
        first_step="each has its file and line in that tree",
    ),
    ExitCode.NOTHING_SELECTED: ExitRow(
        name="nothing selected",
        result="nothing was run",
        meaning="nothing was selected, or every selected test was skipped, needs a GPU or is not judged",
        first_step="the message gives the reasons; `-- --list` shows the tests",
    ),
    ExitCode.OK: ExitRow(
        name="ok",
        result="passed",
        meaning="everything that gates passed; also a shard that is empty because there are more shards than tests",
        first_step="",
    ),
}
SEVERITY: tuple[int, ...] = tuple(EXIT_ROWS)


def worst(codes: Iterable[int]) -> int:
    """The code that a run with all these codes ends with; 0 for none, a code outside the table as itself."""
    seen = set(codes)
    for code in SEVERITY:
        if code in seen and code != ExitCode.OK:
            return int(code)
    return max(seen, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the input: where it is, what it is, and what to do about it."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class CiError(Exception):
    """Root of every error that is shown to a user without a traceback."""

    exit_code: ExitCode = ExitCode.INFRASTRUCTURE

    def __init__(
        self,
        what: str,
        *,
        cause: str = "",
        then: str = "",
        problems: Sequence[Problem] = (),
        exit_code: ExitCode | None = None,
    ) -> None:
        """State what happened, the likely cause, the next command, and every problem found."""
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.then = then
        self.problems = tuple(problems)
        if exit_code is not None:
            self.exit_code = exit_code

    def render(self) -> str:
        """The message as plain lines, the exit code in the first."""
        lines = [f"error (exit {int(self.exit_code)}): {self.what}"]
        lines += [f"  - {problem}" for problem in self.problems]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.then:
            lines.append(f"  next:  {self.then}")
        return "\n".join(lines)


class UsageError(CiError):
    """Invalid options, inputs or configuration."""

    exit_code = ExitCode.USAGE


class NothingSelectedError(CiError):
    """A valid request that selects no test."""

    exit_code = ExitCode.NOTHING_SELECTED


class InfrastructureError(CiError):
    """A machine, disk, engine, network or tool failed, not the code under test."""

    exit_code = ExitCode.INFRASTRUCTURE


class GuardError(CiError):
    """A protected dependency was changed or cannot be imported as required."""

    exit_code = ExitCode.GUARD


class QuarantineError(CiError):
    """A quarantine row has expired or is invalid."""

    exit_code = ExitCode.QUARANTINE


class StaleError(CiError):
    """A generated file differs from what its source gives."""

    exit_code = ExitCode.STALE


class FindingsError(CiError):
    """Problems of another project's tree, which is not this project's configuration."""

    exit_code = ExitCode.FINDINGS


_DISK_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the user's disk quota is used up",
    errno.EFBIG: "the file has reached the limit for one file (`ulimit -f`)",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk or the network file system failed",
    errno.ESTALE: "the folder was removed, or its server was started anew",
}


def disk_cause(error: OSError, *, otherwise: str) -> str:
    """The likely cause of a file that cannot be read or written."""
    return _DISK_CAUSES.get(error.errno or 0, otherwise)


@contextmanager
def writing(path: Path, *, then: str = "") -> Iterator[None]:
    """What is done here writes this file or folder; `then` is the next command where it is another than `df`.

    Raises:
        InfrastructureError: in the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {path}: {error.strerror or error}",
            cause=disk_cause(error, otherwise="the disk is full, or the folder is not writable"),
            then=then or f"df -h {path.parent}",
        ) from error
