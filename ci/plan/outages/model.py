"""The kinds of findings about a checkout, with one table of what follows from each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ci.catalog.registrations.parse import Registration
from ci.errors import Problem
from ci.plan.tree.model import TreeFacts

__all__ = ["KINDS", "CheckedTree", "Finding", "FindingKind", "KindRow", "Severity", "TestBound", "fails"]


class Severity(StrEnum):
    """How bad a finding is, worst first; the names are SARIF's levels."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingKind(StrEnum):
    """What a finding is about. `KINDS` has a row for each."""

    SUITE_NOT_RUN = "suite-not-run"
    SUITE_REFUSED = "suite-refused"
    SUITE_OF_CUDA = "suite-of-cuda"
    OUTSIDE_ROOTS = "outside-roots"
    REGISTRAR_UNKNOWN = "registrar-unknown"
    REGISTRATION_INVALID = "registration-invalid"
    PART_NOT_RUN = "part-not-run"
    PART_INVALID = "part-invalid"
    PERMISSIONS = "permissions"
    GATE_INCOMPLETE = "gate-incomplete"
    JOB_BLOCKED = "job-blocked"
    REGISTRATION_LOST = "registration-lost"
    SUITE_LOST = "suite-lost"
    PART_TWICE = "part-twice"
    PART_IDLE = "part-idle"
    FILE_LIMIT = "file-limit"
    STEP_LIMIT = "step-limit"
    JOB_LIMIT = "job-limit"
    STEP_UNLIMITED = "step-unlimited"
    SUITE_EMPTY = "suite-empty"
    REGISTRATION_DISABLED = "registration-disabled"
    PART_LOST = "part-lost"
    LIMIT_LOOSENED = "limit-loosened"
    BOUND_LOOSENED = "bound-loosened"
    BOUND_LOST = "bound-lost"
    REGISTRATION_GONE = "registration-gone"
    JOB_UNLIMITED = "job-unlimited"
    JOB_OFF = "job-off"
    NOT_READ = "not-read"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """What a kind is called in a summary, how bad it is, and what to do."""

    words: str
    severity: Severity
    help: str


def _row(severity: Severity, words: str, what_to_do: str) -> KindRow:
    return KindRow(words=words, severity=severity, help=what_to_do)


_E, _W, _N = Severity
KINDS: Final[Mapping[FindingKind, KindRow]] = {
    FindingKind.SUITE_NOT_RUN: _row(
        _E,
        "registered for a suite that no AMD job runs",
        "name the suite or the file in a workflow, or disable the registration with a reason",
    ),
    FindingKind.SUITE_REFUSED: _row(
        _E,
        "suites that the tree's own runner refuses",
        "run_suite.py ends before its first test: add the suite to its lists, or fix the name",
    ),
    FindingKind.SUITE_OF_CUDA: _row(
        _E,
        "AMD registrations with a CUDA suite's name",
        "use the AMD suite's name: the test never runs on AMD",
    ),
    FindingKind.OUTSIDE_ROOTS: _row(
        _E,
        "registrations where the runner does not look",
        "move the file to a folder that run_suite.py collects",
    ),
    FindingKind.REGISTRAR_UNKNOWN: _row(
        _E, "unknown registrars", "define the registrar in ci_register.py, or fix its name"
    ),
    FindingKind.REGISTRATION_INVALID: _row(
        _E, "registrations that the runner refuses or does not see", "fix the registration"
    ),
    FindingKind.PART_NOT_RUN: _row(
        _E,
        "parts that no job runs",
        "make the matrix hold every number from 0 to the number of parts less one",
    ),
    FindingKind.PART_INVALID: _row(
        _E, "parts that do not exist", "a part is a number from 0 to the number of parts less one"
    ),
    FindingKind.PERMISSIONS: _row(
        _E,
        "called workflows that ask for more than their caller grants",
        "GitHub refuses the whole run before its first job: grant it in the calling job or workflow",
    ),
    FindingKind.GATE_INCOMPLETE: _row(
        _E,
        "gates that do not wait for their whole stage",
        "wait for every job of the stage, with the number of jobs that its matrix makes",
    ),
    FindingKind.JOB_BLOCKED: _row(_E, "jobs that can never start", "fix `needs`"),
    FindingKind.REGISTRATION_LOST: _row(
        _E, "AMD registrations that were lost", "restore the registration, or disable it with a reason"
    ),
    FindingKind.SUITE_LOST: _row(
        _E, "suites that a job ran before and none runs now", "restore the job, or remove its registrations"
    ),
    FindingKind.PART_TWICE: _row(
        _W, "parts that run twice", "the same tests use two machines: fix the matrix"
    ),
    FindingKind.PART_IDLE: _row(_W, "jobs without tests", "use no more parts than the suite has tests"),
    FindingKind.FILE_LIMIT: _row(
        _W,
        "estimates above the limit of a file",
        "raise --timeout-per-file, or lower est_time to what was measured",
    ),
    FindingKind.STEP_LIMIT: _row(
        _W, "steps that cannot hold what they run", "raise the step's timeout-minutes, or use more parts"
    ),
    FindingKind.JOB_LIMIT: _row(
        _W, "jobs that cannot hold what they run", "raise the job's timeout-minutes, or use more parts"
    ),
    FindingKind.STEP_UNLIMITED: _row(
        _W, "tests without any limit", "add timeout-minutes to the step: GitHub's own limit is six hours"
    ),
    FindingKind.SUITE_EMPTY: _row(
        _W, "jobs whose suite has no test", "remove the job, or fix the name of its suite"
    ),
    FindingKind.REGISTRATION_DISABLED: _row(
        _W, "AMD registrations that were disabled", "enable it again when its reason is gone"
    ),
    FindingKind.PART_LOST: _row(_W, "suites with fewer parts than before", "each part now takes longer"),
    FindingKind.LIMIT_LOOSENED: _row(_W, "limits that were raised or removed", "say why in the change"),
    FindingKind.BOUND_LOOSENED: _row(
        _W, "bounds that were loosened", "say why in the change, with measured values"
    ),
    FindingKind.BOUND_LOST: _row(
        _W, "bounds that were removed", "a test without its bound cannot fail by it"
    ),
    FindingKind.REGISTRATION_GONE: _row(_N, "AMD tests that were removed", "nothing, if this was meant"),
    FindingKind.JOB_UNLIMITED: _row(
        _N, "jobs without a limit of their own", "add timeout-minutes: a set-up that hangs takes six hours"
    ),
    FindingKind.JOB_OFF: _row(_N, "jobs that are switched off", "remove the job, or its condition"),
    FindingKind.NOT_READ: _row(
        _N, "what could not be read", "not checked; what only a run can tell needs no change"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, in a line of a file of the checkout."""

    kind: FindingKind
    file: str
    line: int
    what: str
    hint: str = ""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestBound:
    """A number that a test compares a measured value with.

    `name` is what is compared, or the constant that holds the limit; `scope` the class and function, `TestA.test_b`; `lower`
    says whether the value must not be less.
    """

    file: str
    scope: str
    name: str
    lower: bool
    limit: float
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTree:
    """What findings are made from.

    `registered` are the registrations of every backend where the runner looks, `outside` AMD's elsewhere; `problems` are those
    of reading AMD's. `suites` are our own names of suites, for trees whose runner lists none. `files` are all Python files, `cases` the names
    of the test functions of each.
    """

    facts: TreeFacts
    registered: tuple[Registration, ...]
    outside: tuple[Registration, ...] = ()
    problems: Sequence[Problem] = ()
    suites: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    bounds: tuple[TestBound, ...] = ()
    cases: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def amd(self) -> tuple[Registration, ...]:
        """AMD's registrations that are enabled."""
        return tuple(row for row in self.registered if row.backend == "amd" and row.disabled is None)


def fails(findings: Sequence[Finding]) -> bool:
    """Whether any finding is more than a note."""
    return any(finding.severity is not Severity.NOTE for finding in findings)
