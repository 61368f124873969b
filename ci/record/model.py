"""What a run was, as frozen values."""

from dataclasses import dataclass
from enum import StrEnum

from ci.catalog.verdicts import Status, Verdict
from ci.record.quarantine import Became, QuarantineRecord

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "BoundRecord",
    "CaseOutcome",
    "CaseRecord",
    "DisabledTest",
    "EndReason",
    "Leftover",
    "MetricRecord",
    "PhaseOutcome",
    "PhaseRecord",
    "RunFailure",
    "RunRecord",
    "SkippedSuite",
    "SuiteRecord",
    "TestRecord",
    "title_of",
]


class CaseOutcome(StrEnum):
    """How a case ended, as pytest names it."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"


class AttemptOutcome(StrEnum):
    """How an attempt ended; `unfinished` when the record stops inside it."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNFINISHED = "unfinished"


class EndReason(StrEnum):
    """Why an agent ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAIL_FAST = "fail-fast"


class PhaseOutcome(StrEnum):
    """How a phase of an executor ended; `unfinished` when the record stops inside it."""

    OK = "ok"
    WARNED = "warned"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """One case of a test file. `file` is relative to the tree that holds the tests, `quarantine` the rows that cover it."""

    case: str
    outcome: CaseOutcome
    duration_s: float = 0.0
    message: str = ""
    details: str = ""
    file: str = ""
    line: int | None = None
    verdict: Verdict | None = None
    quarantine: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRecord:
    """The row of `bounds.toml` that a metric was judged by."""

    ok: bool
    op: str
    limit: float
    source: str = ""
    report_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """One measured number."""

    metric: str
    value: float
    unit: str = ""
    bound: BoundRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A process that outlived its test and had to be killed."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one test. `gates`: it counts against the run if it failed and decides its test.

    `started_s` counts from the start of the run, `log` is relative to the run folder, `retry_because` says why
    another attempt followed.
    """

    number: int
    outcome: AttemptOutcome
    verdict: Verdict
    gates: bool = True
    of: int = 1
    evidence: tuple[str, ...] = ()
    rule: str | None = None
    started_s: float = 0.0
    duration_s: float = 0.0
    timeout_s: float = 0.0
    cases: tuple[CaseRecord, ...] = ()
    metrics: tuple[MetricRecord, ...] = ()
    notes: tuple[str, ...] = ()
    log: str = ""
    log_bytes: int = 0
    log_omitted_bytes: int = 0
    exit_code: int | None = None
    signal: str | None = None
    leftovers: tuple[Leftover, ...] = ()
    skip_reasons: tuple[str, ...] = ()
    gpu_ids: tuple[str, ...] = ()
    retry_wait_s: float | None = None
    retry_because: str = ""

    @property
    def harmless(self) -> bool:
        """Whether nothing failed in it: passed or skipped."""
        return self.outcome in (AttemptOutcome.PASSED, AttemptOutcome.SKIPPED)

    @property
    def failed_cases(self) -> tuple[CaseRecord, ...]:
        """The cases that failed this attempt."""
        return tuple(case for case in self.cases if case.outcome is CaseOutcome.FAILED)

    def became(self, row: QuarantineRecord) -> Became:
        """What became of the test of a row that is about this file."""
        if row.whole_file:
            found = {self.outcome.value}
        else:
            found = {case.outcome.value for case in self.cases if row.test in case.quarantine}
        if "failed" in found:
            return Became.FAILED
        if found & {"passed", "xpassed"}:
            return Became.PASSED
        return Became.SKIPPED if found - {"unfinished"} else Became.NOT_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRecord:
    """One selected test with every attempt at it, in order.

    `asked` are the requested node ids, empty for the whole file; `quarantine` the rows about it or cases of it.
    """

    __test__ = False  # pytest would collect a class of this name

    id: str
    suite: str
    status: Status
    verdict: Verdict
    asked: tuple[str, ...] = ()
    est_s: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    not_run_because: str = ""
    quarantine: tuple[QuarantineRecord, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of all attempts, without the waits between them."""
        return sum(attempt.duration_s for attempt in self.attempts)

    @property
    def last(self) -> Attempt | None:
        """The attempt that decided, None for a test that was not run; a skip after a failure decides nothing."""
        if self.status in (Status.FAILED, Status.QUARANTINED):
            return next(attempt for attempt in reversed(self.attempts) if not attempt.harmless)
        return self.attempts[-1] if self.attempts else None

    @property
    def nodes_to_repeat(self) -> tuple[str, ...]:
        """The file; or, of the requested node ids, those with a failed case, all when that explains nothing."""
        failed = [case.case for case in self.last.failed_cases] if self.last is not None else []
        found = tuple(node for node in self.asked if any(_selects(node, case) for case in failed))
        explained = all(any(_selects(node, case) for node in found) for case in failed)
        return (found if explained else ()) or self.asked or (self.id,)

    def quarantined(self, node: str) -> QuarantineRecord | None:
        """The row that covers a case, None when none does."""
        covering = {
            row
            for attempt in self.attempts
            for case in attempt.cases
            if case.case == node
            for row in case.quarantine
        }
        return next((row for row in self.quarantine if row.test in covering), None)


def _selects(node: str, case: str) -> bool:
    """Whether pytest runs a case when it is given a node id: the case's own, or one above it."""
    return case == node or case.startswith((f"{node}[", f"{node}::"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRecord:
    """One suite; `duration_s` is None when the suite did not end."""

    id: str
    timeout_s: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSuite:
    """A suite of the stage that this run leaves out."""

    suite: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledTest:
    """A registered test that is switched off at its registration."""

    suite: str
    test: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailure:
    """What broke outside the tests."""

    what: str
    cause: str = ""
    then: str = ""
    problems: tuple[str, ...] = ()
    verdict: Verdict = Verdict.INFRA


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """What the executor did before or after the agent.

    `text` is what was done, `said` the text of its end. `started_s` counts from the start of the run. `done` of `total` (None:
    unknown) are in `unit`, `bytes` or empty for a count. `log` is relative to the run folder, empty when there is none.
    """

    phase: str
    outcome: PhaseOutcome
    text: str = ""
    said: str = ""
    started_s: float = 0.0
    duration_s: float = 0.0
    done: float | None = None
    total: float | None = None
    unit: str = ""
    log: str = ""
    details: tuple[str, ...] = ()


def title_of(stage: str, *, rehearsal: bool) -> str:
    """The stage, with REHEARSAL before it when it is one."""
    return f"REHEARSAL of {stage}" if rehearsal else stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A whole run. `ended_reason` is the agent's, None when it sent none.

    `started` is UTC as in the events, `command` the nox line that repeats the run, `problems` what is wrong with
    the record itself, `recorded_exit` the code in `run-ended`.
    """

    run: str = ""
    stage: str = ""
    session: str = ""
    rehearsal: bool = False
    rehearsal_because: str = ""
    hardware_class: str = ""
    engine: str = ""
    executor: str = ""
    plan_digest: str = ""
    commit: str = ""
    command: str = ""
    python: str = ""
    host: str = ""
    platform: str = ""
    github_event: str = ""
    github_url: str = ""
    started: str = ""
    duration_s: float = 0.0
    suites: tuple[SuiteRecord, ...] = ()
    tests: tuple[TestRecord, ...] = ()
    skipped_suites: tuple[SkippedSuite, ...] = ()
    disabled: tuple[DisabledTest, ...] = ()
    empty_shards: tuple[str, ...] = ()
    failures: tuple[RunFailure, ...] = ()
    phases: tuple[PhaseRecord, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    quarantine: tuple[QuarantineRecord, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ended_reason: EndReason | None = None
    recorded_exit: int | None = None

    @property
    def title(self) -> str:
        """What every surface shows instead of `stage`."""
        return title_of(self.stage, rehearsal=self.rehearsal)

    def count(self, status: Status) -> int:
        """How many tests ended so."""
        return sum(test.status is status for test in self.tests)

    @property
    def to_repeat(self) -> tuple[TestRecord, ...]:
        """The tests that failed or were not run."""
        return self.having(Status.FAILED, Status.NOT_RUN)

    @property
    def nodes_to_repeat(self) -> tuple[tuple[str, str], ...]:
        """The same as suites and node ids."""
        return tuple((test.suite, node) for test in self.to_repeat for node in test.nodes_to_repeat)

    def having(self, *statuses: Status) -> tuple[TestRecord, ...]:
        """The tests that ended in one of these ways, in order."""
        return tuple(test for test in self.tests if test.status in statuses)
