"""An executor's phases as events: every one that begins also ends, with what became of it."""

from pathlib import Path

import pytest

from ci.errors import InfrastructureError, Problem
from ci.record.events import Event, PhaseEnded, PhaseStarted
from ci.record.phases import Phases
from ci.record.values import PhaseOutcome
from ci.system import clock


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def phases(events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phases:
    """Each look at the clock is 2.0004 s after the one before."""
    times = iter(100 + 2.0004 * number for number in range(100))
    monkeypatch.setattr(clock, "monotonic_s", lambda: next(times))
    return Phases(events.append, tmp_path)


def ended(events: list[Event]) -> PhaseEnded:
    first, last = events
    assert isinstance(first, PhaseStarted)
    assert isinstance(last, PhaseEnded)
    assert first.phase == last.phase
    return last


def test_a_phase_that_works_is_ok_and_says_how_long_it_took(phases: Phases, events: list[Event]) -> None:
    with phases.phase("pull", "the image") as phase:
        assert [type(event) for event in events] == [PhaseStarted]
        phase.details.append("3 layers")
    last = ended(events)
    assert (last.outcome, last.duration_s, last.details) == (PhaseOutcome.OK, 2.0, ("3 layers",))


def test_a_warning_is_no_failure(phases: Phases, events: list[Event]) -> None:
    with phases.phase("health", "") as phase:
        phase.warn("a GPU is busy")
    assert (ended(events).outcome, ended(events).text) == (PhaseOutcome.WARNED, "a GPU is busy")


def test_an_error_of_ours_ends_it_with_every_problem(phases: Phases, events: list[Event]) -> None:
    problems = [Problem(where="triton", what="changed"), Problem(where="aiter", what="is gone")]
    with pytest.raises(InfrastructureError), phases.phase("guards", ""):
        raise InfrastructureError("guards violated", problems=problems, then="x")
    last = ended(events)
    assert (last.outcome, last.text) == (PhaseOutcome.FAILED, "guards violated")
    assert [line.partition(":")[0] for line in last.details] == ["triton", "aiter"]


@pytest.mark.parametrize(
    ("error", "expected"), [(KeyError("x"), "KeyError: 'x'"), (KeyboardInterrupt(), "KeyboardInterrupt: ")]
)
def test_any_other_end_is_named(
    phases: Phases, events: list[Event], error: BaseException, expected: str
) -> None:
    with pytest.raises(type(error)), phases.phase("pull", ""):
        raise error
    assert (ended(events).outcome, ended(events).text) == (PhaseOutcome.FAILED, expected)


def test_its_log_is_named_by_its_end_and_added_to(
    phases: Phases, events: list[Event], tmp_path: Path
) -> None:
    for text in (b"one\n", b"two\n"):
        events.clear()
        with phases.phase("install:aiter", "") as phase, phase.open_log() as log:
            log.write(text)
    assert ended(events).log == "logs/install-aiter.log"
    assert (tmp_path / "install-aiter.log").read_bytes() == b"one\ntwo\n"
