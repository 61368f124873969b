"""What events and records are made of: how things ended, and the values inside them."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AttemptOutcome",
    "BoundRecord",
    "CaseOutcome",
    "DisabledTest",
    "EmptyShard",
    "EndReason",
    "GithubRun",
    "Leftover",
    "PhaseOutcome",
    "PlannedTest",
    "SkippedSuite",
    "TestName",
    "UnmeasuredRecord",
]


class CaseOutcome(StrEnum):
    """How a case ended, as pytest names it, or with an excuse for its failure."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    NEEDS_GPU = "needs-gpu"
    NOT_JUDGED = "not-judged"

    @property
    def words(self) -> str:
        """`passed`, `needs a GPU`: what follows a number of such cases."""
        return "needs a GPU" if self is CaseOutcome.NEEDS_GPU else self.value.replace("-", " ")


class AttemptOutcome(StrEnum):
    """How an attempt ended; `unfinished` when the record stops inside it, `lost` when another worker then ran the test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    NEEDS_GPU = "needs-gpu"
    NOT_JUDGED = "not-judged"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"
    LOST = "lost"

    @property
    def harmless(self) -> bool:
        """Whether nothing failed that counts against the test."""
        return self not in (AttemptOutcome.FAILED, AttemptOutcome.UNFINISHED)


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
class BoundRecord:
    """The row of `bounds.toml` that a metric was judged by."""

    ok: bool
    op: str
    limit: float
    source: str = ""
    report_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmeasuredRecord:
    """A row of `bounds.toml` that was to be judged and has no value; `because` is the missing feature that excuses it.

    `failed`: the attempt failed for it, and its evidence has a line about it.
    """

    metric: str
    unit: str = ""
    bound: BoundRecord
    because: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What outlived its test: a process that had to be killed, or a file in /dev/shm that had to be removed (pid 0).

    `node` is another node of a run with roles on several, 0 for the test's own.
    """

    pid: int
    command: str
    path: str = ""
    node: int = 0

    @property
    def words(self) -> str:
        """`leftover process killed: 12, python3 -m http.server`."""
        if self.path:
            where = f" on node {self.node}" if self.node else ""
            return f"leftover shared memory removed{where}: {self.path}"
        return f"leftover process killed: {self.pid}, {self.command}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestName:
    """A test of a suite, by their ids."""

    __test__ = False  # pytest takes a class named Test... for a test

    suite: str
    test: str


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
class PlannedTest:
    """A test that the run selected, and its estimate; `cases` are the requested node ids, none for the whole file."""

    suite: str
    test: str
    est_s: float = 0.0
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyShard:
    """A shard that holds no test."""

    suite: str
    shard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubRun:
    """The event and the page of a run in GitHub Actions."""

    event: str = ""
    run_url: str = ""
