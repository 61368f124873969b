"""Each test of a run as a card: what failed in one line, then its attempts with evidence and logs, oldest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from ci.catalog.verdicts import Status
from ci.record.events import Case
from ci.record.model import Attempt, RunRecord, TestRecord
from ci.record.values import AttemptOutcome
from ci.report import model
from ci.report.log_tail import LogTails
from ci.report.page.excerpt import Excerpt, excerpt, tail_excerpt
from ci.report.quarantine_row import quarantine_rows
from ci.report.repeat import repeat_test
from ci.report.workers import attempt_place

__all__ = ["AttemptCard", "Card", "CaseCard", "Group", "LogCard", "cards", "groups"]

# What a page is to take, of it what the markup of a test and of an attempt take, and what is always left for the texts of
# attempts that failed, all in characters: 500 tests with three attempts stay below 2 MB.
_PAGE, _TEST, _ATTEMPT, _TEXTS_MIN = 1_750_000, 1_700, 500, 100_000
# of one attempt, however few there are
_ROOM_MAX = 60_000
# less of a log than this says nothing
_LOG_ROOM_MIN = 400
# how much more the deciding attempt gets than the others
_WEIGHT = 4
# cases that are named one by one; of more, those that passed are only counted, and those that failed stand above
_CASES_MAX = 4_000

# In the order of the page: what needs a reader first. The others follow in the order of `Status`.
_FIRST = (
    Status.FAILED,
    Status.CANCELLED,
    Status.NOT_RUN,
    Status.FLAKY,
    Status.QUARANTINED,
    Status.XFAILED,
)
# groups that are opened: few, or to be read
_OPEN = (Status.FAILED, Status.CANCELLED, Status.NOT_RUN, Status.FLAKY, Status.QUARANTINED)
_FEW = 12
# so many failures stand open
_OPEN_CARDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCard:
    """A case that failed."""

    case: Case
    place: str
    details: Excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCard:
    """A log and its end; `href` is empty where the file is not beside the page."""

    name: str
    href: str
    tail: Excerpt
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCard:
    """One attempt. `where` is its node and GPUs, empty on one machine without them. `kind` is its colour, `cases` are those to be named, `opened`: it decided the test."""

    attempt: Attempt
    where: str
    kind: str
    words: str
    opened: bool
    failed: tuple[CaseCard, ...]
    evidence: Excerpt | None
    logs: tuple[LogCard, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One test. `place`, `case` and `line` say in one line what failed, or why it was not judged; `more` other cases failed."""

    anchor: str
    test: TestRecord
    part: str
    opened: bool
    place: str
    case: str
    more: int
    line: str
    symptom: str
    alike: int
    attempts: tuple[AttemptCard, ...]
    repeat: str
    quarantine: str

    @property
    def verdict(self) -> str:
        """What the filter calls it."""
        return model.verdict_words(self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All tests with one status."""

    status: Status
    opened: bool
    cards: tuple[Card, ...]


def groups(found: Sequence[Card]) -> tuple[Group, ...]:
    """The cards by status, those to be read first; a status without a test is left out."""
    rest = [status for status in Status if status not in _FIRST and status is not Status.PASSED]
    by_status = {
        status: tuple(card for card in found if card.test.status is status)
        for status in (*_FIRST, *rest, Status.PASSED)
    }
    return tuple(
        Group(status=status, opened=status in _OPEN or len(each) <= _FEW, cards=each)
        for status, each in by_status.items()
        if each
    )


def cards(record: RunRecord, tails: LogTails) -> tuple[Card, ...]:
    """A card for each test, in the order of the record."""
    unit = _unit(record)
    name_passed = sum(len(a.cases) for test in record.tests for a in test.attempts) <= _CASES_MAX
    alike = model.shared_symptoms(record)
    few = record.count(Status.FAILED) <= _OPEN_CARDS
    return tuple(
        Card(
            anchor=f"t{number}",
            test=test,
            part=part.name if part is not None else "",
            opened=few and test.status is Status.FAILED,
            place=headline.place,
            case=headline.case,
            more=headline.more,
            line=headline.line,
            symptom=model.symptom(test),
            alike=len(alike.get(model.symptom(test), ())),
            attempts=tuple(_attempts(record.run_of(test), test, tails, unit, name_passed=name_passed)),
            repeat=repeat_test(record, test) if test.status is not Status.PASSED else "",
            quarantine=quarantine_rows(record.run_of(test), test) if test.status is Status.FAILED else "",
        )
        for number, test in enumerate(record.tests, 1)
        for headline, part in ((model.headline(test), record.part_of(test)),)
    )


def _unit(record: RunRecord) -> int:
    """The room of an attempt that decided nothing."""
    weights = sum(
        _WEIGHT if attempt is test.last else 1
        for test in record.tests
        for attempt in test.attempts
        if not attempt.harmless
    )
    attempts = sum(len(test.attempts) for test in record.tests)
    room = max(_TEXTS_MIN, _PAGE - _TEST * len(record.tests) - _ATTEMPT * attempts)
    return min(_ROOM_MAX, room // max(1, weights))


def _attempts(
    run: RunRecord, test: TestRecord, tails: LogTails, unit: int, *, name_passed: bool
) -> Iterator[AttemptCard]:
    for attempt in test.attempts:
        decided = attempt is test.last
        room = 0 if attempt.harmless else unit * (_WEIGHT if decided else 1)
        failed = attempt.failed_cases
        # a third for the cases, half of the rest for the evidence, and the rest for the logs
        each = room // 2 // max(1, len(failed))
        evidence = "\n".join(_beyond_cases(attempt))
        yield AttemptCard(
            attempt=attempt,
            where=attempt_place(run, attempt),
            kind=_kind(test, attempt),
            words=attempt.end.outcome if test.status.row.set_aside else attempt.end.verdict,
            opened=decided or len(test.attempts) == 1,
            failed=tuple(
                CaseCard(
                    case=case,
                    place=model.case_place(case),
                    details=excerpt(case.details or case.message, room=each),
                )
                for case in failed
            ),
            evidence=excerpt(evidence, room=room // 6) if evidence and room else None,
            logs=tuple(_logs(attempt, tails, room // 3)),
            cases=tuple(
                case for case in attempt.cases if name_passed or case.outcome not in ("passed", "failed")
            ),
        )


def _beyond_cases(attempt: Attempt) -> tuple[str, ...]:
    """The evidence, or nothing where it only names the failed cases with their messages, which stand above it."""
    said = {f"{case.case}: {case.message}" for case in attempt.failed_cases}
    return () if not attempt.end.rule and said.issuperset(attempt.end.evidence) else attempt.end.evidence


def _kind(test: TestRecord, attempt: Attempt) -> str:
    outcome = attempt.end.outcome
    if test.status is Status.QUARANTINED and outcome is AttemptOutcome.FAILED:
        return Status.QUARANTINED
    return outcome


def _logs(attempt: Attempt, tails: LogTails, room: int) -> Iterator[LogCard]:
    """The attempt's log, then those of its servers; of an attempt that passed only where they are."""
    about = [line for text in attempt.end.evidence for line in text.split("\n")]
    folder = PurePosixPath(attempt.start.log).parent
    names = (
        [attempt.start.log, *(str(folder / name) for name in attempt.end.server_logs)]
        if attempt.start.log
        else []
    )
    if room < _LOG_ROOM_MIN * len(names):
        room = 0
    for name in names:
        tail = tails.named(name)
        lines = tail.lines if room else ()
        yield LogCard(
            name=PurePosixPath(name).name,
            href=quote(name) if tails.has(name) else "",
            tail=tail_excerpt(lines, about=about, room=room // len(names)),
            note=tail.note if room or not tail.lines else "",
        )
