"""Events and records for the tests of the record and the reports."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ci.catalog.verdicts import Gates, Verdict
from ci.record.fold import Attempt, CaseRecord, MetricRecord, RunRecord, fold, read_events

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


def events_of(name: str) -> list[dict[str, Any]]:
    """The events of a stored run."""
    return read_events(EVENTS / f"{name}.jsonl")


def record_of(name: str) -> RunRecord:
    """The record of a stored run."""
    return fold(events_of(name))


def run_started(tests: Sequence[str], **more: Any) -> dict[str, Any]:
    """The event that a run begins with."""
    return {
        "type": "run-started",
        "by": "ci",
        "time": "2026-05-29T07:12:03.000Z",
        "run": "20260529T071203Z-stage-a-amd-0123abcd",
        "stage": "stage-a-amd",
        "session": "stage_a_amd",
        "command": "nox -s stage_a_amd",
        "rehearsal": False,
        "tests": [{"suite": SUITE, "test": test, "est_s": 10} for test in tests],
    } | more


def attempt_events(test: str, attempt: Attempt) -> Iterator[dict[str, Any]]:
    """What the agent says during one attempt that ends."""
    about = {"suite": SUITE, "test": test, "attempt": attempt.number, "by": "agent"}
    yield about | {
        "type": "test-started",
        "of": attempt.of,
        "log": attempt.log,
        "timeout_s": attempt.timeout_s,
        "est_s": 10,
        "gpu_ids": list(attempt.gpu_ids),
    }
    for case in attempt.cases:
        yield about | {
            "type": "case",
            "case": case.case,
            "outcome": case.outcome,
            "duration_s": case.duration_s,
            "message": case.message,
            "details": case.details,
            "file": case.file,
            "line": case.line,
            "verdict": case.verdict,
        }
    for metric in attempt.metrics:
        bound = metric.bound
        yield about | {
            "type": "metric",
            "metric": metric.metric,
            "value": metric.value,
            "unit": metric.unit,
            "bound": bound
            and {
                "ok": bound.ok,
                "op": bound.op,
                "limit": bound.limit,
                "source": bound.source,
                "report_only": bound.report_only,
            },
        }
    for note in attempt.notes:
        yield about | {"type": "note", "text": note}
    yield about | {
        "type": "test-ended",
        "outcome": attempt.outcome,
        "verdict": attempt.verdict,
        "evidence": list(attempt.evidence),
        "rule": attempt.rule,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "duration_s": attempt.duration_s,
        "cases": {},
        "skip_reasons": list(attempt.skip_reasons),
        "leftovers": [{"pid": item.pid, "command": item.command} for item in attempt.leftovers],
        "log_bytes": attempt.log_bytes,
        "log_omitted_bytes": attempt.log_omitted_bytes,
    }
    if attempt.retry_wait_s is not None:
        yield about | {"type": "retry", "wait_s": attempt.retry_wait_s, "because": attempt.retry_because}


def run_events(
    tests: Mapping[str, Sequence[Attempt]], *, reason: str | None = "done", **more: Any
) -> list[dict[str, Any]]:
    """A whole run; without a `reason` its agent never says that it ended."""
    events: list[dict[str, Any]] = [
        run_started(list(tests), **more),
        {"type": "agent-started", "by": "agent"},
    ]
    for test, attempts in tests.items():
        for attempt in attempts:
            events += attempt_events(test, attempt)
    if reason is not None:
        events.append({"type": "agent-ended", "reason": reason, "leftovers": [], "by": "agent"})
    return events


def ended(outcome: str, verdict: str, number: int = 1, **more: Any) -> Attempt:
    """An attempt that ended so."""
    return Attempt(number=number, outcome=outcome, verdict=Verdict.of_name(verdict), **more)


_VERDICTS = st.sampled_from([verdict for verdict in Verdict if verdict.row.gates is not Gates.NEVER])
_SECONDS = st.floats(0, 1e5)

_CASES = {
    failed: st.builds(
        CaseRecord,
        case=odd_text,
        outcome=st.sampled_from(["passed", "skipped", "xfailed", "xpassed", *(["failed"] if failed else [])]),
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
    MetricRecord, metric=odd_text, value=st.floats(allow_nan=False, allow_infinity=False), unit=odd_text
)


@st.composite
def attempt_lists(draw: st.DrawFn) -> tuple[Attempt, ...]:
    """One to three attempts at a test: all but the last one failed, or the agent would not have tried again."""
    of = draw(st.integers(1, 3))
    attempts = []
    for number in range(1, of + 1):
        last = number == of
        outcome = draw(st.sampled_from(["passed", "failed", "skipped"])) if last else "failed"
        attempts.append(
            Attempt(
                number=number,
                of=of,
                outcome=outcome,
                verdict=draw(_VERDICTS) if outcome == "failed" else Verdict.PASSED,
                evidence=tuple(draw(st.lists(odd_text, max_size=2))),
                rule=draw(st.none() | st.just("some-rule")),
                duration_s=draw(_SECONDS),
                timeout_s=draw(_SECONDS),
                cases=tuple(draw(st.lists(_CASES[outcome == "failed"], max_size=3))),
                metrics=tuple(draw(st.lists(_METRICS, max_size=2))),
                notes=tuple(draw(st.lists(odd_text, max_size=1))),
                log=f"logs/test.{number}.log",
                exit_code=draw(st.none() | st.integers(0, 255)),
                signal=draw(st.none() | st.just("SIGKILL")),
                skip_reasons=tuple(draw(st.lists(odd_text, max_size=1))) if outcome == "skipped" else (),
                retry_wait_s=None if last else 30.0,
                retry_because="" if last else "may be tried again",
            )
        )
    return tuple(attempts)
