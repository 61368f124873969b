"""What a quarantine row covers, and whether an attempt failed in nothing else. The agent has the same rule of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.verdicts import Gates, Verdict

__all__ = ["QuarantineRecord", "covers", "gates", "rows_of", "state", "words"]

# pytest's exit code when cases failed and nothing else went wrong
_CASES_FAILED = 1


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


def rows_of(test: str, rows: Iterable[QuarantineRecord]) -> tuple[QuarantineRecord, ...]:
    """The rows that are about this test file or a case in it."""
    return tuple(row for row in rows if row.test.partition("::")[0] == test)


def covers(row: str, node: str) -> bool:
    """Whether a row's test is this node id, or has it as one of its parameters, methods or cases."""
    return node == row or node.startswith((f"{row}[", f"{row}::"))


def gates(
    rows: Sequence[QuarantineRecord], failed: Sequence[str], *, verdict: Verdict, exit_code: int | None
) -> bool:
    """Whether a failed attempt counts although these rows hold for its file.

    A row for the file covers whatever happens in it; rows for cases cover an attempt that came to pytest's own end
    and in which nothing else failed. A run that was stopped is no test's failure.

    Args:
        rows: those of the attempt's file.
        failed: node ids of the cases that failed.
        verdict: the attempt's.
        exit_code: of the test process, None when a signal ended it.
    """
    if verdict.row.gates is Gates.ALWAYS:
        return True
    if any(row.whole_file for row in rows):
        return False
    if verdict.row.gates is Gates.UNLESS_FILE_QUARANTINED or not failed or exit_code != _CASES_FAILED:
        return True
    return not all(any(covers(row.test, node) for row in rows) for node in failed)


def state(row: QuarantineRecord, cases: Mapping[str, str], outcome: str) -> str:
    """What became of a quarantined test: `failed`, `passed`, `skipped`, or `not run`.

    Args:
        row: a row about the file of the attempt.
        cases: outcome by node id, of the attempt that decided.
        outcome: the attempt's.
    """
    if row.whole_file:
        return outcome if outcome in ("failed", "passed", "skipped") else "not run"
    found = {result for node, result in cases.items() if covers(row.test, node)}
    if "failed" in found:
        return "failed"
    if found & {"passed", "xpassed"}:
        return "passed"
    return "skipped" if found else "not run"


def words(row: QuarantineRecord, became: str) -> str:
    """A sentence about a row for people, after the test's name; `became` is its `state`."""
    until = f"in quarantine until {row.expires}"
    about = f"{row.reason} ({row.issue})"
    match became:
        case "failed":
            return f"failed and gates nothing, {until}: {about}"
        case "passed":
            return f"passed, {until}; is the row still needed? {about}"
        case "skipped":
            return f"skipped, {until}: {about}"
    return f"did not run, {until}: {about}"
