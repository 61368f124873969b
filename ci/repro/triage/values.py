"""A triage: values, as the views and `--json` have them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ci.catalog.verdicts import Status, Verdict
from ci.repro.source import Fact

__all__ = ["Held", "Ran", "TriagedJob", "TriagedTest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A quarantine row about a test; `expired` on the day of the triage. `hardware` are its classes."""

    test: str
    reason: str
    issue: str
    hardware: tuple[str, ...]
    expires: str
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TriagedTest:
    """One test file that failed, or that failed and passed later.

    `cases` are the node ids that failed, empty for the file as a whole. `needs_gpu` is why no machine without one can run it, empty
    when that is not known. `attempts` is how often it was tried.
    """

    file: str
    suite: str
    status: Status
    verdict: Verdict
    cases: tuple[str, ...] = ()
    because: str = ""
    evidence: tuple[str, ...] = ()
    symptom: str = ""
    rule: str = ""
    quarantine: tuple[Held, ...] = ()
    needs_gpu: str = ""
    attempts: int = 1
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How many files a command was to run and how they ended; `amount` is None when the log does not say."""

    what: str
    amount: int | None
    passed: int
    failed: int
    flaky: int

    @property
    def not_run(self) -> int | None:
        """Files that were not reached; None when it is not known."""
        return None if self.amount is None else max(self.amount - self.passed - self.failed, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriagedJob:
    """One job or run. `set_up` is what happened before the tests; `stopped` says what ended it outside of its
    tests, with `verdict`, `evidence` and `symptom`; empty when nothing did.

    `lines` are the commands that repeat it. `problem` says why there is nothing more.
    """

    name: str
    kind: str
    source: str
    set_up: Sequence[Fact] = ()
    ran: tuple[Ran, ...] = ()
    tests: tuple[TriagedTest, ...] = ()
    stopped: str = ""
    verdict: Verdict | None = None
    evidence: tuple[str, ...] = ()
    symptom: str = ""
    then: str = ""
    lines: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    problem: str = ""
