"""What the record says of itself."""

import pytest

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import Case, RunStarted
from ci.record.model import Attempt, RunRecord, TestRecord
from ci.record.quarantine import Became, QuarantineRecord
from ci.record.values import AttemptOutcome, CaseOutcome
from support.records import ended

FILE = "test/registered/a.py"
ONE, TWO = f"{FILE}::test_one", f"{FILE}::TestB::test_two"


def case(node: str, outcome: CaseOutcome = CaseOutcome.FAILED, *rows: str) -> Case:
    return Case(case=node, outcome=outcome, quarantine=rows)


def attempt(*cases: Case, outcome: AttemptOutcome = AttemptOutcome.FAILED) -> Attempt:
    return ended(outcome, "passed" if outcome is AttemptOutcome.PASSED else "product", cases=cases)


def record(*attempts: Attempt, asked: tuple[str, ...] = (), status: Status = Status.FAILED) -> TestRecord:
    verdict = attempts[-1].end.verdict if attempts else Verdict.INFRA
    return TestRecord(id=FILE, suite="s", status=status, verdict=verdict, asked=asked, attempts=attempts)


@pytest.mark.parametrize(
    ("asked", "failed", "nodes"),
    [
        ((), [ONE], (FILE,)),
        ((ONE, TWO), [ONE], (ONE,)),
        ((ONE, TWO), [f"{TWO}[x]"], (TWO,)),
        ((ONE, f"{FILE}::TestB"), [TWO], (f"{FILE}::TestB",)),
        ((ONE, TWO), [ONE, TWO], (ONE, TWO)),
        ((ONE, TWO), [], (ONE, TWO)),  # it crashed
        ((ONE, TWO), [ONE, f"{FILE}::test_other"], (ONE, TWO)),  # not explained by what was asked for
    ],
)
def test_what_is_named_to_repeat_a_test(
    asked: tuple[str, ...], failed: list[str], nodes: tuple[str, ...]
) -> None:
    assert record(attempt(*map(case, failed)), asked=asked).nodes_to_repeat == nodes


def test_the_deciding_attempt_says_what_to_repeat() -> None:
    first, last = attempt(case(ONE)), attempt(case(TWO))
    assert record(first, last, asked=(ONE, TWO)).nodes_to_repeat == (TWO,)


def test_what_failed_or_was_not_run_is_repeated() -> None:
    failed = record(attempt(case(ONE)), asked=(ONE,))
    not_run = record(status=Status.NOT_RUN)
    passed = record(attempt(outcome=AttemptOutcome.PASSED), status=Status.PASSED)
    run = RunRecord(start=RunStarted(run="r"), tests=(passed, failed, not_run))
    assert run.to_repeat == (failed, not_run)
    assert run.nodes_to_repeat == (("s", ONE), ("s", FILE))
    assert (run.count(Status.FAILED), run.count(Status.SKIPPED)) == (1, 0)


@pytest.mark.parametrize(
    ("cases", "became"),
    [
        ([case(ONE, CaseOutcome.FAILED, ONE)], Became.FAILED),
        ([case(ONE, CaseOutcome.PASSED, ONE)], Became.PASSED),
        ([case(ONE, CaseOutcome.PASSED, ONE), case(f"{ONE}[x]", CaseOutcome.FAILED, ONE)], Became.FAILED),
        ([case(ONE, CaseOutcome.SKIPPED, ONE)], Became.SKIPPED),
        ([case(TWO, CaseOutcome.FAILED)], Became.NOT_RUN),
    ],
)
def test_what_became_of_a_quarantined_case(cases: list[Case], became: Became) -> None:
    assert attempt(*cases).became(QuarantineRecord(test=ONE)) is became


def test_what_became_of_a_quarantined_file_is_how_it_ended() -> None:
    row = QuarantineRecord(test=FILE)
    assert attempt(case(ONE, CaseOutcome.PASSED)).became(row) is Became.FAILED
    assert attempt(outcome=AttemptOutcome.PASSED).became(row) is Became.PASSED
    assert attempt(outcome=AttemptOutcome.UNFINISHED).became(row) is Became.NOT_RUN


def test_a_rehearsal_is_in_the_title() -> None:
    assert (
        RunRecord(start=RunStarted(stage="stage-a-amd", rehearsal=True)).title == "REHEARSAL of stage-a-amd"
    )
    assert RunRecord(start=RunStarted(stage="stage-a-amd")).title == "stage-a-amd"


def test_the_time_of_a_test_is_that_of_its_attempts() -> None:
    tries = [ended("failed", "infra", n, duration_s=n) for n in (1, 2)]
    assert record(*tries).duration_s == 3
