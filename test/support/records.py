"""Events and records for the tests of the record and the reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from ci.catalog.verdicts import Gates, Verdict
from ci.record.event_log import read_events
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    AttemptEvent,
    By,
    Case,
    Event,
    Metric,
    Note,
    Retry,
    RunStarted,
    TestEnded,
    TestStarted,
)
from ci.record.fold import fold
from ci.record.model import Attempt, RunRecord
from ci.record.values import AttemptOutcome, CaseOutcome, EndReason, PlannedTest

_E = TypeVar("_E", bound=AttemptEvent)

DATA = Path(__file__).parents[1] / "data"
EVENTS = DATA / "events"

SUITE = "stage-a-test-1-gpu-small-amd"

# Text that some report could take for markup, a command, a control sequence or the end of a block.
NASTY = (
    "[red]no colour[/red]",
    "<script>alert(1)</script>",
    "</pre></details><b>",
    "a | b || c",
    "```\n`x`",
    "]]> --> <!-- &amp; &",
    "::error file=x::y\n::add-mask::e",
    "##[error]z",
    "100% %0A",
    "nul \x00 bell \x07 escape \x1b[31m c1 \x9b31m",
    "surrogate \ud800 nonchar \ufffe bidi \u202e line \u2028",
    "emoji \U0001f600 :tada: @team #1 $x$ **b** _i_ ~~s~~",
    "{{ 7 * 7 }} {% raw %}",
    "\r\n\t x",
)

odd_text = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=()), max_size=40),
)


def events_of(name: str) -> list[Event]:
    """The events of a stored run."""
    return read_events(EVENTS / f"{name}.jsonl")


def record_of(name: str) -> RunRecord:
    """The record of a stored run."""
    return fold(events_of(name))


def run_started(tests: Sequence[str], **more: Any) -> RunStarted:
    """The event that a run begins with."""
    return replace(
        RunStarted(
            time="2026-05-29T07:12:03.000Z",
            run="20260529T071203Z-stage-a-amd-0123abcd",
            stage="stage-a-amd",
            session="stage_a_amd",
            command="nox -s stage_a_amd",
            tests=tuple(PlannedTest(suite=SUITE, test=test, est_s=10) for test in tests),
        ),
        **more,
    )


def sent_about(attempt: Attempt, test: str, *, suite: str = SUITE) -> Attempt:
    """The same with events that name the test, as the agent sends them."""

    def about(event: _E) -> _E:
        return replace(event, suite=suite, test=test, attempt=attempt.number, by=By.AGENT)

    return replace(
        attempt,
        start=about(attempt.start),
        end=about(attempt.end),
        retry=attempt.retry and about(attempt.retry),
        cases=tuple(map(about, attempt.cases)),
        metrics=tuple(map(about, attempt.metrics)),
    )


def attempt_events(test: str, attempt: Attempt, *, suite: str = SUITE) -> Iterator[AttemptEvent]:
    """What the agent sends during one attempt that ends."""
    sent = sent_about(attempt, test, suite=suite)
    yield sent.start
    yield from sent.cases
    yield from sent.metrics
    for note in sent.notes:
        yield Note(suite=suite, test=test, attempt=sent.number, by=By.AGENT, text=note)
    yield sent.end
    if sent.retry is not None:
        yield sent.retry


def run_events(
    tests: Mapping[str, Sequence[Attempt]],
    *,
    reason: EndReason | None = EndReason.DONE,
    suite: str = SUITE,
    **more: Any,
) -> list[Event]:
    """A whole run; without a `reason` its agent never says that it ended."""
    planned = tuple(PlannedTest(suite=suite, test=test, est_s=10) for test in tests)
    start = replace(run_started([]), tests=planned, **more)
    events: list[Event] = [start, AgentStarted(by=By.AGENT)]
    for test, attempts in tests.items():
        for attempt in attempts:
            events += attempt_events(test, attempt, suite=suite)
    if reason is not None:
        events.append(AgentEnded(reason=reason, by=By.AGENT))
    return events


def ended(outcome: str, verdict: str, number: int = 1, *, of: int = 1, **more: Any) -> Attempt:
    """An attempt that ended so; `more` are fields of the attempt or of its end."""
    own = {key: more.pop(key) for key in ("cases", "metrics", "notes", "retry") if key in more}
    return Attempt(
        number=number,
        start=TestStarted(of=max(of, number), est_s=10, log=f"logs/test.{number}.log", timeout_s=1200),
        end=TestEnded(outcome=AttemptOutcome(outcome), verdict=Verdict.of_name(verdict), **more),
        **own,
    )


_VERDICTS = st.sampled_from([verdict for verdict in Verdict if verdict.row.gates is not Gates.NEVER])
_OUTCOMES = st.sampled_from([AttemptOutcome.PASSED, AttemptOutcome.FAILED, AttemptOutcome.SKIPPED])
_SECONDS = st.floats(0, 1e5)

_CASES = {
    failed: st.builds(
        Case,
        case=odd_text,
        outcome=st.sampled_from([each for each in CaseOutcome if failed or each is not CaseOutcome.FAILED]),
        duration_s=_SECONDS,
        message=odd_text,
        details=odd_text,
        file=odd_text,
        line=st.none() | st.integers(1, 10**6),
        verdict=st.none() | _VERDICTS,
    )
    for failed in (True, False)
}

_METRICS = st.builds(
    Metric, metric=odd_text, value=st.floats(allow_nan=False, allow_infinity=False), unit=odd_text
)


@st.composite
def attempt_lists(draw: st.DrawFn) -> tuple[Attempt, ...]:
    """One to three attempts at a test: all but the last one failed, or the agent would not have tried again."""
    of = draw(st.integers(1, 3))
    attempts = []
    for number in range(1, of + 1):
        last = number == of
        outcome = draw(_OUTCOMES) if last else AttemptOutcome.FAILED
        attempts.append(
            ended(
                outcome,
                draw(_VERDICTS) if outcome is AttemptOutcome.FAILED else Verdict.PASSED,
                number,
                of=of,
                evidence=tuple(draw(st.lists(odd_text, max_size=2))),
                rule=draw(st.none() | st.just("some-rule")),
                duration_s=draw(_SECONDS),
                exit_code=draw(st.none() | st.integers(0, 255)),
                signal=draw(st.none() | st.just("SIGKILL")),
                skip_reasons=tuple(draw(st.lists(odd_text, max_size=1)))
                if outcome is AttemptOutcome.SKIPPED
                else (),
                cases=tuple(draw(st.lists(_CASES[outcome is AttemptOutcome.FAILED], max_size=3))),
                metrics=tuple(draw(st.lists(_METRICS, max_size=2))),
                notes=tuple(draw(st.lists(odd_text, max_size=1))),
                retry=None if last else Retry(wait_s=30, because="may be tried again"),
            )
        )
    return tuple(attempts)
