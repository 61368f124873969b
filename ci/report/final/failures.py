"""What failed, one value for each line about it: where, how it was judged, and the first line of its evidence."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ci.catalog.verdicts import Status
from ci.errors import ExitCode
from ci.record.events import Case
from ci.record.model import Attempt, RunRecord, TestRecord
from ci.report import model
from ci.report.text import case_name, one_line, strip_ansi

__all__ = ["Failure", "failures"]

# the place that a judge writes behind a message: ` (a/b.py:12, function)`
_PLACE = re.compile(r" \((?P<file>[^\s()]+?):(?P<line>\d+)(?:, [^()]*)?\)$")

# the modules of an exception's class
_MODULES = re.compile(r"^(?:\w+\.)+(?=[A-Z]\w*: )")
# what hung beside the test
_OF_ANOTHER = "another process: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed case, or a failed test without one; `more` of its cases have no line of their own."""

    status: Status
    where: str
    case: str = ""
    verdict: str = ""
    why: str = ""
    more: int = 0


def failures(record: RunRecord, *, most: int, roomy: int) -> tuple[list[Failure], int]:
    """Flaky tests, then failed ones, and how many tests are left out: at most `most`, better `roomy`.

    Every failed case where so many have room, else the first of every test, else as many tests as there is room for.
    """
    tests = record.having(Status.FLAKY, Status.FAILED)
    found = [list(_of(test)) for test in sorted(tests, key=lambda test: test.status is Status.FAILED)]
    whole = [failure for each in found for failure in each]
    first = [replace(each[0], more=len(each) - 1) for each in found if each]
    for rows, room in ((whole, roomy), (first, roomy), (whole, most), (first, most)):
        if len(rows) <= room:
            return rows, 0
    return first[-most:], len(first) - most


def _of(test: TestRecord) -> Iterator[Failure]:
    attempt = next((each for each in reversed(test.attempts) if not each.harmless), None)
    if attempt is None:
        return
    cases = [case for case in attempt.failed_cases if not case.quarantine] or attempt.failed_cases
    verdict = one_line(test.verdict)
    # a limit ends the file, not one of its cases
    late = attempt.end.verdict.row.exit_code is ExitCode.TIMEOUT
    for case in cases:
        where, why = _explained(attempt, case, alone=len(cases) == 1 and not late)
        name = one_line(case_name(case.case, test.id))
        # a file that cannot be imported is its own case
        shown = "" if where.startswith(name) else name
        yield Failure(status=test.status, where=where, case=shown, verdict=verdict, why=why)
    if late or not cases:
        where, why = _with_place(one_line(test.id), _evidence(attempt))
        yield Failure(status=test.status, where=where, verdict=verdict, why=why)


def _explained(attempt: Attempt, case: Case, *, alone: bool) -> tuple[str, str]:
    """Where a case failed and why: in the judge's words where they are about this case alone."""
    said = _MODULES.sub("", one_line(_first_line(case.message)))
    evidence = _MODULES.sub("", _evidence(attempt).removeprefix(f"{one_line(case.case)}: "))
    # evidence that is a part of the message says less
    judged = evidence and evidence not in said and (alone or not said)
    why = evidence if judged else said
    return _with_place(one_line(model.case_place(case)) or one_line(case.case), why)


def _evidence(attempt: Attempt) -> str:
    """The first line of evidence, of the test itself where there is one."""
    lines = attempt.end.evidence
    own = next((line for line in lines if not line.startswith(_OF_ANOTHER)), next(iter(lines), ""))
    return _MODULES.sub("", one_line(_first_line(own)))


def _with_place(where: str, why: str) -> tuple[str, str]:
    """The place behind a message is not said twice; it has the line where only the file is known."""
    found = _PLACE.search(why)
    if found is None or where.partition(":")[0] != found["file"]:
        return where, why
    place = f"{found['file']}:{found['line']}"
    return (place, why[: found.start()]) if where in (found["file"], place) else (where, why)


def _first_line(text: str) -> str:
    return strip_ansi(text).strip().partition("\n")[0].strip()
