"""The table of errors and exit codes. Standard library alone: the noxfile imports it."""

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
    "worst",
    "writing",
]


class ExitCode(IntEnum):
    """What a process of this project ends with; README and `docs/exit-codes.md` list the same table."""

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
    """What a code is called: `name` in a list of codes, `result` as the result of a run."""

    name: str
    result: str


# Worst first. A product failure is never hidden by an infrastructure failure beside it.
EXIT_ROWS: Mapping[int, ExitRow] = {
    ExitCode.INTERRUPTED: ExitRow(name="interrupted", result="interrupted"),
    ExitCode.USAGE: ExitRow(name="usage or configuration", result="invalid request or configuration"),
    ExitCode.GUARD: ExitRow(name="guard violated", result="dependencies were changed"),
    ExitCode.TESTS_FAILED: ExitRow(name="failed", result="tests failed"),
    ExitCode.BOUNDS: ExitRow(name="bounds broken", result="bounds were broken"),
    ExitCode.TIMEOUT: ExitRow(name="timeout", result="timed out"),
    ExitCode.INFRASTRUCTURE: ExitRow(name="infrastructure", result="the infrastructure failed"),
    ExitCode.QUARANTINE: ExitRow(name="expired quarantine", result="a quarantine has expired"),
    ExitCode.STALE: ExitRow(name="generated file stale", result="a generated file is stale"),
    ExitCode.FINDINGS: ExitRow(
        name="findings about another tree", result="another project's tree has problems"
    ),
    ExitCode.NOTHING_SELECTED: ExitRow(name="nothing selected", result="nothing was run"),
    ExitCode.OK: ExitRow(name="ok", result="passed"),
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
            cause="the disk is full, or the folder is not writable",
            then=then or f"df -h {path.parent}",
        ) from error
