"""Quarantine rows in a record, and what became of what they are about.

Whether a failed attempt gates, and which cases a row covers, the agent has decided: `gates` of `test-ended` and
`quarantine` of `case`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Became", "QuarantineRecord", "rows_of", "words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRecord:
    """A quarantine row that held when the run started; `test` is a file or a pytest node id, the dates are ISO."""

    test: str
    reason: str = ""
    issue: str = ""
    since: str = ""
    expires: str = ""

    @property
    def whole_file(self) -> bool:
        """Whether the row is about a file and not about a case in it."""
        return "::" not in self.test


class Became(StrEnum):
    """What became of a quarantined test."""

    FAILED = "failed"
    PASSED = "passed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


def rows_of(test: str, rows: Iterable[QuarantineRecord]) -> tuple[QuarantineRecord, ...]:
    """The rows that are about this test file or a case in it."""
    return tuple(row for row in rows if row.test.partition("::")[0] == test)


def words(row: QuarantineRecord, end: Became) -> str:
    """A sentence about a row for people, after the test's name."""
    until = f"in quarantine until {row.expires}"
    about = f"{row.reason} ({row.issue})"
    match end:
        case Became.FAILED:
            return f"failed but does not gate, {until}: {about}"
        case Became.PASSED:
            return f"passed, {until}; is the row still needed? {about}"
        case Became.SKIPPED:
            return f"skipped, {until}: {about}"
        case Became.NOT_RUN:
            return f"did not run, {until}: {about}"
