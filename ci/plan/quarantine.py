"""Which quarantine rows hold, and what is wrong with them on a day."""

from collections.abc import Iterable
from datetime import date, timedelta

from ci.catalog.catalog import Catalog
from ci.catalog.quarantine import Quarantine
from ci.catalog.registrations.parse import Discovery
from ci.catalog.registrations.test_requirements import has_case
from ci.catalog.toml_reader import closest
from ci.errors import Problem, QuarantineError

__all__ = [
    "applying",
    "expiring",
    "quarantine_problems",
    "require_sound_quarantine",
    "tried_date_note",
]

_THEN = "remove the row, or give it a later `expires` and say in `reason` why; then: nox -s check"


def applying(
    rows: Iterable[Quarantine], *, hardware_class: str, today: date, tests: Iterable[str]
) -> tuple[Quarantine, ...]:
    """The rows that hold today on this hardware for one of these test files, in the file's order."""
    files = set(tests)
    return tuple(
        row
        for row in rows
        if hardware_class in row.hardware
        and row.since <= today <= row.expires
        and row.test.partition("::")[0] in files
    )


def quarantine_problems(catalog: Catalog, tests: Discovery, *, today: date, own: bool) -> tuple[Problem, ...]:
    """What is wrong with the rows today: their form, a day that has passed, a test that does not exist.

    In another tree than ours (`own` false) a test that does not exist is none of our findings.
    """
    problems = list(catalog.quarantine.problems)
    files = {row.file for row in tests.registrations}
    for row in catalog.quarantine.rows:
        where = catalog.where(row)
        if today > row.expires:
            what = f"has expired: it was valid until {row.expires}, today is {today}"
            problems.append(Problem(where=where, what=what, hint=f"see {row.issue}"))
        if not own or not row.test:
            continue
        file, _, case = row.test.partition("::")
        if file not in files:
            problems.append(Problem(where=where, what="no such registered test", hint=closest(file, files)))
        elif case and not has_case(tests.cases.get(file, ()), case):
            names = [name for name in tests.cases.get(file, ()) if "*" not in name]
            what = f"{file} has no case {case!r}"
            problems.append(Problem(where=where, what=what, hint=closest(case.partition("[")[0], names)))
    return tuple(problems)


def require_sound_quarantine(catalog: Catalog, tests: Discovery, *, today: date, own: bool) -> None:
    """Stop here while a row has expired or is invalid.

    Raises:
        QuarantineError: with every problem.
    """
    problems = quarantine_problems(catalog, tests, today=today, own=own)
    if problems:
        raise QuarantineError(
            "the quarantine needs a decision",
            problems=problems,
            cause="a row is valid until its date, for an existing test and with an issue",
            then=_THEN,
        )


def tried_date_note(today: date, source: str) -> str:
    """What every surface has to say when rows are judged by a date that is not today's."""
    return f"NOT TODAY'S DATE: quarantine is judged as on {today} ({source})"


def expiring(catalog: Catalog, *, today: date) -> tuple[str, ...]:
    """Rows that will have expired soon, as notes."""
    notice = timedelta(days=catalog.limits.policy.quarantine_notice_days)
    return tuple(
        f"the quarantine of {row.test} is valid until {row.expires}, {(row.expires - today).days} days from now: {row.issue}"
        for row in catalog.quarantine.rows
        if today <= row.expires < today + notice
    )
