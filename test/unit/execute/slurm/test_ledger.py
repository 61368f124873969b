"""The head's book: whatever order workers die in, each test is settled once, and none is run a third time."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.verdicts import Verdict
from ci.execute.slurm.ledger import Claim, Ledger
from ci.record import events as ev
from ci.record.values import AttemptOutcome

TESTS = tuple(("s", f"t{number}") for number in range(5))


def _ended(place: int, outcome: AttemptOutcome = AttemptOutcome.PASSED) -> ev.TestEnded:
    suite, test = TESTS[place]
    return ev.TestEnded(suite=suite, test=test, attempt=1, outcome=outcome, verdict=Verdict.PRODUCT)


class Model:
    """Workers that claim tests as the agent does, and may die at any moment."""

    def __init__(self) -> None:
        self.ledger = Ledger(TESTS)
        self.again: set[int] = set()
        self.claims: dict[tuple[int, int], str] = {}
        self.running: dict[str, int] = {}
        self.dead: set[str] = set()
        self.starts: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        self.given_up: Counter[int] = Counter()

    def claim(self, worker: str) -> None:
        if worker in self.dead or worker in self.running:
            return
        for place in range(len(TESTS)):
            tried = 2 if place in self.again else 1
            if (place, tried) not in self.claims:
                self.claims[place, tried] = worker
                self.running[worker] = place
                self.starts[place] += 1
                return

    def end(self, worker: str) -> None:
        if worker in self.running:
            place = self.running.pop(worker)
            self.ends[place] += 1
            self.ledger.take(worker, _ended(place))

    def die(self, worker: str) -> None:
        if worker in self.dead:
            return
        self.dead.add(worker)
        self.running.pop(worker, None)
        owned = [
            Claim(place=place, tried=tried)
            for (place, tried), owner in self.claims.items()
            if owner == worker
        ]
        loss = self.ledger.lose(worker, owned)
        self.again.update(loss.again)
        self.given_up.update(loss.given_up)


STEPS = st.lists(
    st.tuples(st.sampled_from(("claim", "claim", "end", "die")), st.sampled_from([str(n) for n in range(6)])),
    max_size=60,
)


@given(STEPS)
def test_every_test_is_settled_once_or_free(steps: list[tuple[str, str]]) -> None:
    model = Model()
    for step, worker in steps:
        getattr(model, step)(worker)
    for place in range(len(TESTS)):
        assert model.starts[place] <= 2
        assert model.ends[place] + model.given_up[place] <= 1
        settled = TESTS[place] not in model.ledger.unsettled
        assert settled == (model.ends[place] + model.given_up[place] == 1)
        free = (place, 1) not in model.claims or (place in model.again and (place, 2) not in model.claims)
        assert settled or free or place in model.running.values()


@given(STEPS)
def test_a_worker_that_lives_brings_every_run_to_its_end(steps: list[tuple[str, str]]) -> None:
    model = Model()
    for step, worker in steps:
        getattr(model, step)(worker)
    for worker in list(model.running):
        model.end(worker)
    for _ in TESTS:
        model.claim("survivor")
        model.end("survivor")
    assert model.ledger.unsettled == ()


def test_a_retry_takes_the_end_of_its_test_back() -> None:
    ledger = Ledger(TESTS)
    ledger.take("1", _ended(0, AttemptOutcome.FAILED))
    ledger.take("1", ev.Retry(suite="s", test="t0", attempt=1))
    assert TESTS[0] in ledger.unsettled
    assert ledger.lose("1", [Claim(place=0, tried=1)]).again == (0,)


def test_a_retry_that_will_not_come_leaves_its_test_as_it_was() -> None:
    ledger = Ledger(TESTS)
    for place, end in enumerate((ev.Note(suite="s", test="t0", attempt=1, settles=True), ev.WorkerEnded())):
        ledger.take(str(place), _ended(place, AttemptOutcome.FAILED))
        ledger.take(str(place), ev.Retry(suite="s", test=f"t{place}", attempt=1))
        assert TESTS[place] in ledger.unsettled
        ledger.take(str(place), end)
        assert TESTS[place] not in ledger.unsettled


def test_a_claim_that_is_found_later_is_given_out_too() -> None:
    ledger = Ledger(TESTS)
    first, later = Claim(place=0, tried=1), Claim(place=1, tried=1)
    assert ledger.lose("1", [first]).again == (0,)
    assert ledger.lose("1", [first, later]).again == (1,)
    assert ledger.lose("1", [first, later]).again == ()


def test_what_comes_of_a_lost_worker_counts_no_more() -> None:
    ledger = Ledger(TESTS)
    ledger.lose("1", [Claim(place=0, tried=1)])
    ledger.take("1", _ended(0))
    assert TESTS[0] in ledger.unsettled


def test_the_first_failure_that_counts_is_remembered() -> None:
    ledger = Ledger(TESTS)
    ledger.take("1", _ended(0))
    ledger.take("1", _ended(1, AttemptOutcome.FAILED))
    ledger.take("2", _ended(2, AttemptOutcome.FAILED))
    assert ledger.failed_by == "t1 of suite s failed (product)"


def test_a_failure_that_a_retry_takes_back_ended_nothing() -> None:
    ledger = Ledger(TESTS)
    ledger.take("1", _ended(0, AttemptOutcome.FAILED))
    ledger.take("1", ev.Retry(suite="s", test="t0", attempt=1))
    ledger.take("2", _ended(1, AttemptOutcome.FAILED))
    assert ledger.failed_by.startswith("t1 ")
    ledger.take("1", _ended(0))
    assert ledger.failed_by.startswith("t1 ")


@pytest.mark.parametrize(
    "end",
    [ev.Note(suite="s", test="t0", attempt=1, settles=True), ev.WorkerEnded()],
    ids=lambda each: each.type,
)
def test_a_failure_whose_retry_does_not_come_stays(end: ev.Event) -> None:
    ledger = Ledger(TESTS)
    ledger.take("1", _ended(0, AttemptOutcome.FAILED))
    ledger.take("1", ev.Retry(suite="s", test="t0", attempt=1))
    assert ledger.failed_by == ""
    ledger.take("1", end)
    assert ledger.failed_by.startswith("t0 ")


def test_a_worker_that_ended_may_hold_a_claim_that_it_never_settled() -> None:
    ledger = Ledger(TESTS)
    ledger.take("1", _ended(0))
    ledger.take("1", ev.WorkerEnded())
    assert not ledger.has_open([Claim(place=0, tried=1)])
    half_made = [Claim(place=0, tried=1), Claim(place=1, tried=1)]
    assert ledger.has_open(half_made)
    assert ledger.lose("1", half_made).again == (1,)
    assert not ledger.has_open(half_made)
    assert ledger.has_open([Claim(place=1, tried=2)])
