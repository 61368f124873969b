"""What a run was, as frozen values."""

from collections import Counter
from dataclasses import dataclass, field

from ci.catalog.verdicts import Status, Verdict
from ci.plan.shards import Shard
from ci.record.events import (
    AgentStarted,
    Case,
    ExecutorFailed,
    Job,
    Metric,
    Retry,
    RoleEnded,
    RoleStarted,
    RunStarted,
    SlotLost,
    TestEnded,
    TestStarted,
)
from ci.record.quarantine import Became, QuarantineRecord
from ci.record.values import AttemptOutcome, CaseOutcome, EndReason, Leftover, PhaseOutcome, TestName

__all__ = [
    "Attempt",
    "Part",
    "PhaseRecord",
    "RoleRecord",
    "RunRecord",
    "ServerStart",
    "SuiteRecord",
    "SuiteShard",
    "TestRecord",
    "WorkerRecord",
    "title_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStart:
    """The start of a server of a test, in seconds from the start of the run."""

    started_s: float
    ready_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRecord:
    """A server behind an attempt, in its role; `took_s` until it was ready, None where it did not come to that."""

    start: RoleStarted
    took_s: float | None = None
    end: RoleEnded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one test, by its events.

    `started_s` counts from the start of the run; `end` is made up, `unfinished`, when the record stops inside the attempt.
    `number` counts through where a second `worker` ran the test again; that is empty in a run on one machine.
    """

    number: int
    worker: str = ""
    started_s: float = 0.0
    start: TestStarted = field(default_factory=TestStarted)
    end: TestEnded
    retry: Retry | None = None
    cases: tuple[Case, ...] = ()
    metrics: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()
    servers: tuple[ServerStart, ...] = ()
    roles: tuple[RoleRecord, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether nothing failed in it that counts against the test; one that was stopped says nothing about it."""
        return self.end.outcome.harmless or self.end.verdict is Verdict.CANCELLED

    @property
    def counted(self) -> str:
        """`36 passed, 1 needs a GPU`; empty when it has no cases."""
        found = Counter(case.outcome for case in self.cases)
        return ", ".join(f"{found[outcome]} {outcome.words}" for outcome in CaseOutcome if found[outcome])

    @property
    def expected_failures(self) -> tuple[Case, ...]:
        """The cases that are expected to fail, whatever they did: a quarantine without a date."""
        return tuple(
            case for case in self.cases if case.outcome in (CaseOutcome.XFAILED, CaseOutcome.XPASSED)
        )

    @property
    def failed_cases(self) -> tuple[Case, ...]:
        """The cases that failed this attempt."""
        return tuple(case for case in self.cases if case.outcome is CaseOutcome.FAILED)

    def became(self, row: QuarantineRecord) -> Became:
        """What became of the test of a row that is about this file."""
        if row.whole_file:
            found = {self.end.outcome.value}
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

    `asked` are the requested node ids, empty for the whole file; `quarantine` the rows about it or cases of it. `run_failed`: it
    was not run since the run itself failed before it.
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
    run_failed: bool = False
    quarantine: tuple[QuarantineRecord, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of all attempts, without the waits between them and without what a lost worker left."""
        return sum(
            attempt.end.duration_s
            for attempt in self.attempts
            if attempt.end.outcome is not AttemptOutcome.LOST
        )

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
class WorkerRecord:
    """A worker of a run on several nodes; times are from the start of the run.

    `reason` is why its agent ended, None where it did not say so. `text` is what was said at its end or loss, `again` are the
    tests that a lost worker left to others.
    """

    id: str
    node: str = ""
    host: str = ""
    python: str = ""
    slots: int = 1
    started_s: float = 0.0
    ended_s: float | None = None
    reason: EndReason | None = None
    is_lost: bool = False
    text: str = ""
    again: tuple[TestName, ...] = ()

    @property
    def name(self) -> str:
        """`n2`: its node without the domain, else `worker 2`; empty for no worker."""
        return self.node.partition(".")[0] or (f"worker {self.id}" if self.id else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """What the executor did before or after the agent.

    `worker` is whose phase it was, empty for one of the run. `text` is what was done, `result` the text of its end. `started_s`
    counts from the start of the run. `done` of `total` (None: unknown) are in `unit`, `bytes` or empty for a count. `log` is
    relative to the run folder, empty when there is none.
    """

    phase: str
    outcome: PhaseOutcome
    worker: str = ""
    text: str = ""
    result: str = ""
    started_s: float = 0.0
    duration_s: float = 0.0
    done: float | None = None
    total: float | None = None
    unit: str = ""
    log: str = ""
    details: tuple[str, ...] = ()


def title_of(run: RunStarted) -> str:
    """The stage, with REHEARSAL before it when it is one, and UNVERIFIED when its plan is."""
    title = f"REHEARSAL of {run.stage}" if run.rehearsal else run.stage
    return f"UNVERIFIED {title}" if run.unverified else title


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A whole run, by its events; `start` and `agent` are empty ones when the record has none.

    `ended_reason` is the agent's, None when it sent none. `failures` broke it outside the tests, `problems` are what is
    wrong with the record itself, `lost` are GPUs that were taken out, `recorded_exit` is the code in `run-ended`. `workers` are
    those of a run on several nodes, `job` is its job in Slurm as it was seen last. `parts` are the runs of a merged record, none
    for a single run.
    """

    start: RunStarted = field(default_factory=RunStarted)
    agent: AgentStarted = field(default_factory=AgentStarted)
    duration_s: float = 0.0
    suites: tuple[SuiteRecord, ...] = ()
    tests: tuple[TestRecord, ...] = ()
    failures: tuple[ExecutorFailed, ...] = ()
    phases: tuple[PhaseRecord, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    lost: tuple[SlotLost, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ended_reason: EndReason | None = None
    recorded_exit: int | None = None
    workers: tuple[WorkerRecord, ...] = ()
    job: Job | None = None
    parts: tuple["Part", ...] = ()

    @property
    def title(self) -> str:
        """What every surface shows instead of `stage`."""
        return title_of(self.start)

    def count(self, status: Status) -> int:
        """How many tests ended so."""
        return sum(test.status is status for test in self.tests)

    @property
    def to_repeat(self) -> tuple[TestRecord, ...]:
        """The tests that failed, were stopped or were not run."""
        return self.having(Status.FAILED, Status.CANCELLED, Status.NOT_RUN)

    @property
    def regressions(self) -> tuple[TestRecord, ...]:
        """The tests that passed in the run that this one is compared with, and failed here."""
        baseline = self.start.baseline
        passed = set(baseline.passed) if baseline is not None else set()
        return tuple(test for test in self.having(Status.FAILED) if (test.suite, test.id) in passed)

    @property
    def nodes_to_repeat(self) -> tuple[tuple[str, str], ...]:
        """The same as suites and node ids."""
        return tuple((test.suite, node) for test in self.to_repeat for node in test.nodes_to_repeat)

    def part_of(self, test: TestRecord) -> "Part | None":
        """The part of a merged record that a test of it is in; None for the record of one run."""
        return next((part for part in self.parts if any(each is test for each in part.record.tests)), None)

    def run_of(self, test: TestRecord) -> "RunRecord":
        """The run that a test of this record was in: the record itself unless it is a merged one."""
        part = self.part_of(test)
        return part.record if part is not None else self

    def worker(self, number: str) -> WorkerRecord:
        """The worker of this number, with nothing else known where it never started; the empty number is no worker."""
        return next((worker for worker in self.workers if worker.id == number), WorkerRecord(id=number))

    def having(self, *statuses: Status) -> tuple[TestRecord, ...]:
        """The tests that ended in one of these ways, in order."""
        return tuple(test for test in self.tests if test.status in statuses)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteShard:
    """A shard of a suite, by the suite's full name; a suite that was run whole is 1/1."""

    suite: str
    shard: Shard

    def __str__(self) -> str:
        return self.suite if self.shard.count == 1 else f"{self.suite} {self.shard}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run of a merged record: what it held, and its record, whose times and logs are those of the merged one.

    `run_s` is what it took from its start to its end. `page` is the address of its job, empty when it is not known.
    """

    shards: tuple[SuiteShard, ...]
    record: RunRecord
    run_s: float
    page: str = ""

    @property
    def name(self) -> str:
        """`stage-b-test-1-gpu-small-amd 3/14`."""
        return ", ".join(map(str, self.shards)) or self.record.start.run
