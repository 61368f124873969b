"""The events of a run, one type each: what the agent and `ci` say, as docs/agent.md lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ci.catalog.verdicts import Verdict
from ci.record.event import AttemptEvent, By, Event, RunEvent
from ci.record.quarantine import QuarantineRecord
from ci.record.role_events import RoleEnded, RoleReady, RoleStarted
from ci.record.values import (
    AttemptOutcome,
    BoundRecord,
    CaseOutcome,
    DisabledTest,
    EmptyShard,
    EndReason,
    GithubRun,
    Leftover,
    PhaseOutcome,
    PlannedTest,
    SkippedSuite,
    UnmeasuredRecord,
)
from ci.record.worker_events import Job, WorkerEnded, WorkerLost, WorkerStarted

__all__ = [
    "SCHEMA",
    "AgentEnded",
    "AgentStarted",
    "AttemptEvent",
    "Baseline",
    "By",
    "Capsule",
    "Case",
    "Damaged",
    "Event",
    "ExecutorFailed",
    "Job",
    "Metric",
    "Note",
    "Output",
    "PhaseEnded",
    "PhaseProgress",
    "PhaseStarted",
    "Progress",
    "Retry",
    "RoleEnded",
    "RoleReady",
    "RoleStarted",
    "RunEnded",
    "RunStarted",
    "SlotLost",
    "SuiteEnded",
    "SuiteStarted",
    "TestEnded",
    "TestNotRun",
    "TestStarted",
    "Unknown",
    "WorkerEnded",
    "WorkerLost",
    "WorkerStarted",
]

# Of the events in a record; `run-started` states it. 1 had none, and its agent did not say what a quarantine row covers.
SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """An earlier run that this one is compared with; `passed` are its suites and tests that passed."""

    run: str
    commit: str
    passed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """What is run, and what is left out with the reasons; `command` is the line that repeats it.

    `stood_in` says what took the place of what in a rehearsal. `unverified` are the fields in which a plan that was run as it
    was saved is not what its request gives. `never_run` names what started the tests and was never tried, empty for the usual.
    """

    type: ClassVar[str] = "run-started"

    schema: int = SCHEMA
    run: str = ""
    stage: str = ""
    session: str = ""
    plan_digest: str = ""
    rehearsal: bool = False
    rehearsal_because: str = ""
    stood_in: tuple[str, ...] = ()
    hardware_class: str = ""
    engine: str = ""
    executor: str = ""
    commit: str = ""
    command: str = ""
    python: str = ""
    github: GithubRun | None = None
    tests: tuple[PlannedTest, ...] = ()
    skipped_suites: tuple[SkippedSuite, ...] = ()
    disabled: tuple[DisabledTest, ...] = ()
    quarantine: tuple[QuarantineRecord, ...] = ()
    empty_shards: tuple[EmptyShard, ...] = ()
    baseline: Baseline | None = None
    unverified: tuple[str, ...] = ()
    never_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule(Event):
    """The plan in one line, for readers who have only the log."""

    type: ClassVar[str] = "capsule"

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted(Event):
    """An executor begins something before or after the agent."""

    type: ClassVar[str] = "phase-started"

    phase: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProgress(Event):
    """How far a phase is: `done` of `total` (None: unknown), in `unit` (`bytes`, or empty for a count), `rate` a second."""

    type: ClassVar[str] = "phase-progress"

    phase: str
    text: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""
    rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded(Event):
    """How a phase ended; `log` is relative to the run folder, or empty."""

    type: ClassVar[str] = "phase-ended"

    phase: str
    outcome: PhaseOutcome
    duration_s: float = 0.0
    text: str = ""
    log: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorFailed(Event):
    """A phase failed, or the agent's stream ended without `agent-ended`."""

    type: ClassVar[str] = "executor-failed"

    what: str
    cause: str = ""
    then: str = ""
    problems: tuple[str, ...] = ()
    verdict: Verdict = Verdict.INFRA


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """What the run ends with."""

    type: ClassVar[str] = "run-ended"

    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(Event):
    """The agent runs, in this interpreter."""

    type: ClassVar[str] = "agent-started"

    pid: int = 0
    python: str = ""
    executable: str = ""
    platform: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEnded(Event):
    """All is done or stopped; `leftovers` are what the last sweep had to kill."""

    type: ClassVar[str] = "agent-ended"

    reason: EndReason = EndReason.DONE
    leftovers: tuple[Leftover, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteStarted(RunEvent):
    """A suite begins; `tests` are ids in running order."""

    type: ClassVar[str] = "suite-started"

    tests: tuple[str, ...] = ()
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEnded(RunEvent):
    """A suite is over."""

    type: ClassVar[str] = "suite-ended"

    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestNotRun(RunEvent):
    """A test will not be started."""

    __test__ = False  # pytest takes a class named Test... for a test
    type: ClassVar[str] = "test-not-run"

    verdict: Verdict
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStarted(AttemptEvent):
    """An attempt begins; `of` is how many are allowed, `log` relative to the run folder.

    `slot` is the number of its slot, from 1; 0 where one test runs at a time.
    """

    __test__ = False
    type: ClassVar[str] = "test-started"

    of: int = 1
    log: str = ""
    timeout_s: float = 0.0
    est_s: float = 0.0
    pid: int | None = None
    slot: int = 0
    gpu_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(AttemptEvent):
    """A case ended; `quarantine` are the rows that cover it, by their ids."""

    type: ClassVar[str] = "case"

    case: str
    outcome: CaseOutcome
    duration_s: float = 0.0
    message: str = ""
    details: str = ""
    file: str | None = None
    line: int | None = None
    verdict: Verdict | None = None
    assertion: bool = False
    quarantine: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(AttemptEvent):
    """A measured number and how its row judged it."""

    type: ClassVar[str] = "metric"

    metric: str
    value: float
    unit: str = ""
    bound: BoundRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(AttemptEvent):
    """A sentence for readers of the record, about the run or about an attempt.

    `server_s` is how long the start of a server took, which was ready at this moment; None for any other note. `settles`: the
    retry that was announced will not come.
    """

    type: ClassVar[str] = "note"

    text: str = ""
    server_s: float | None = None
    settles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(AttemptEvent):
    """How far an attempt is, in its test's own words."""

    type: ClassVar[str] = "progress"

    text: str = ""
    done: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(AttemptEvent):
    """The newest lines of an attempt's output."""

    type: ClassVar[str] = "output"

    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEnded(AttemptEvent):
    """How an attempt ended. `gates`: it counts against the run if it failed and decides its test.

    `symptom` is a short line that the same failure has in each run; empty where nothing failed. `server_logs` are the logs of the
    servers that it started, by their names in the folder of its own log.
    """

    __test__ = False
    type: ClassVar[str] = "test-ended"

    outcome: AttemptOutcome
    verdict: Verdict = Verdict.PASSED
    gates: bool = True
    evidence: tuple[str, ...] = ()
    rule: str | None = None
    symptom: str = ""
    exit_code: int | None = None
    signal: str | None = None
    duration_s: float = 0.0
    cases: Mapping[str, int] = field(default_factory=dict)
    skip_reasons: tuple[str, ...] = ()
    oom_kills: int = 0
    kernel_log: tuple[str, ...] = ()
    memory_holders: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unmeasured: tuple[UnmeasuredRecord, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    server_logs: tuple[str, ...] = ()
    log_bytes: int = 0
    log_omitted_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(AttemptEvent):
    """Another attempt will follow this one."""

    type: ClassVar[str] = "retry"

    wait_s: float = 0.0
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLost(AttemptEvent):
    """GPUs are taken out of the run, since memory stays in use that this attempt may have left."""

    type: ClassVar[str] = "slot-lost"

    gpu_ids: tuple[str, ...]
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """An event of a type of another version; `more` is all of it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged(Event):
    """What the reader puts in the place of a line that is not an event."""

    type: ClassVar[str] = "record-damaged"

    text: str
    by: By = By.READER
