"""The spans of a run: run, then phases and suites, then tests, then attempts. Names are those of the semantic conventions.

`amd_ci.*` are ours, for what the conventions have no name.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ci.catalog.verdicts import Status
from ci.errors import ExitCode
from ci.record.fold import exit_code
from ci.record.model import Attempt, PhaseRecord, RunRecord, TestRecord
from ci.record.moments import moment_s
from ci.record.values import PhaseOutcome

__all__ = ["Span", "Value", "result_of", "spans", "trace_id"]

Value = str | int | float | bool

# of `cicd.pipeline.result`; the other codes are `error`
_RESULTS: Mapping[int, str] = {
    ExitCode.OK: "success",
    ExitCode.TESTS_FAILED: "failure",
    ExitCode.BOUNDS: "failure",
    ExitCode.TIMEOUT: "timeout",
    ExitCode.NOTHING_SELECTED: "skip",
    ExitCode.INTERRUPTED: "cancellation",
}
# of `test.case.result.status`, which has no word for a test that says nothing about the code
_CASE_RESULTS: Mapping[Status, str] = {
    Status.PASSED: "pass",
    Status.FLAKY: "pass",
    Status.FAILED: "fail",
    Status.QUARANTINED: "fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span; times are nanoseconds since 1970, ids are those of OpenTelemetry. `parent_id` is 0 for the run's own.

    `failed` is None for what neither passed nor failed.
    """

    name: str
    span_id: int
    parent_id: int
    start_ns: int
    end_ns: int
    failed: bool | None
    attributes: Mapping[str, Value]


def trace_id(record: RunRecord) -> int:
    """128 bits that are the same whenever the record of this run is exported."""
    return _bits(f"{record.start.run} {record.start.plan_digest} {record.start.time}", 16)


def spans(record: RunRecord) -> tuple[Span, ...]:
    """Every span of a run, parents first."""
    return tuple(_spans(record))


def _bits(text: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:count]) or 1


class _Clock:
    """From seconds of the run to nanoseconds since 1970."""

    def __init__(self, record: RunRecord) -> None:
        self._start_s = moment_s(record.start.time) or 0.0

    def ns(self, at_s: float) -> int:
        return round((self._start_s + at_s) * 1e9)


def _spans(record: RunRecord) -> Iterator[Span]:
    clock = _Clock(record)
    trace = f"{trace_id(record):032x}"
    start, code = record.start, exit_code(record)

    def span_id(*path: str) -> int:
        return _bits("\0".join((trace, *path)), 8)

    run_id = span_id("run")
    yield Span(
        name=f"RUN {record.title}",
        span_id=run_id,
        parent_id=0,
        start_ns=clock.ns(0),
        end_ns=clock.ns(record.duration_s),
        failed=code != 0,
        attributes=_known(
            {
                "cicd.pipeline.name": start.stage,
                "cicd.pipeline.run.id": start.run,
                "cicd.pipeline.run.url.full": start.github.run_url if start.github is not None else "",
                "cicd.pipeline.result": result_of(code),
                "vcs.ref.head.revision": start.commit,
                "amd_ci.exit_code": code,
                "amd_ci.plan.digest": start.plan_digest,
                "amd_ci.hardware_class": start.hardware_class,
                "amd_ci.engine": start.engine,
                "amd_ci.executor": start.executor,
                "amd_ci.rehearsal": start.rehearsal,
                "amd_ci.event": start.github.event if start.github is not None else "",
            }
        ),
    )
    for number, phase in enumerate(record.phases):
        node = record.worker(phase.worker).name
        yield _phase(phase, node, span_id("phase", str(number), phase.phase), run_id, clock)
    for suite in dict.fromkeys(test.suite for test in record.tests):
        tests = [test for test in record.tests if test.suite == suite]
        suite_id = span_id("suite", suite)
        yield _suite(suite, tests, suite_id, run_id, clock)
        for test in tests:
            if test.attempts:
                test_id = span_id("test", suite, test.id)
                yield _test(test, test_id, suite_id, clock)
                for attempt in test.attempts:
                    attempt_id = span_id("attempt", suite, test.id, str(attempt.number))
                    node = record.worker(attempt.worker).name
                    yield _attempt(test, attempt, node, attempt_id, test_id, clock)


def result_of(code: int) -> str:
    """An exit code as `cicd.pipeline.result` has it."""
    return _RESULTS.get(code, "error")


def _phase(phase: PhaseRecord, node: str, span_id: int, parent_id: int, clock: _Clock) -> Span:
    failed = phase.outcome in (PhaseOutcome.FAILED, PhaseOutcome.UNFINISHED)
    return Span(
        name=f"phase {phase.phase}",
        span_id=span_id,
        parent_id=parent_id,
        start_ns=clock.ns(phase.started_s),
        end_ns=clock.ns(phase.started_s + phase.duration_s),
        failed=failed,
        attributes=_known(
            {
                "cicd.pipeline.task.name": phase.phase,
                "cicd.pipeline.task.run.result": "error"
                if failed
                else "skip"
                if phase.outcome is PhaseOutcome.SKIPPED
                else "success",
                "amd_ci.phase.node": node,
                "amd_ci.phase.outcome": phase.outcome.value,
            }
        ),
    )


def _suite(suite: str, tests: list[TestRecord], span_id: int, parent_id: int, clock: _Clock) -> Span:
    attempts = [attempt for test in tests for attempt in test.attempts]
    failed = any(test.status is Status.FAILED for test in tests)
    stopped = any(test.status in (Status.CANCELLED, Status.NOT_RUN) for test in tests)
    judged = any(test.status.row.judged for test in tests)
    status = "failure" if failed else "aborted" if stopped else "success" if judged else "skipped"
    return Span(
        name=f"suite {suite}",
        span_id=span_id,
        parent_id=parent_id,
        start_ns=clock.ns(min((attempt.started_s for attempt in attempts), default=0.0)),
        end_ns=clock.ns(max(map(_end_s, attempts), default=0.0)),
        failed=failed,
        attributes={
            "test.suite.name": suite,
            "test.suite.run.status": status,
            "cicd.pipeline.task.name": suite,
            "cicd.pipeline.task.type": "test",
            "amd_ci.suite.tests": len(tests),
        },
    )


def _test(test: TestRecord, span_id: int, parent_id: int, clock: _Clock) -> Span:
    gated = test.status is Status.FAILED
    return Span(
        name=f"test {test.id}",
        span_id=span_id,
        parent_id=parent_id,
        start_ns=clock.ns(test.attempts[0].started_s),
        end_ns=clock.ns(max(map(_end_s, test.attempts))),
        failed=gated if test.status.row.judged else None,
        attributes=_known(
            {
                "test.case.name": test.id,
                "test.case.result.status": _CASE_RESULTS.get(test.status, ""),
                "test.suite.name": test.suite,
                "error.type": test.verdict.value if gated else "",
                "amd_ci.test.status": test.status.value,
                "amd_ci.test.verdict": test.verdict.value,
                "amd_ci.test.estimate_s": test.est_s,
                "amd_ci.test.attempts": len(test.attempts),
            }
        ),
    )


def _attempt(
    test: TestRecord, attempt: Attempt, node: str, span_id: int, parent_id: int, clock: _Clock
) -> Span:
    end = attempt.end
    place = next((case for case in attempt.failed_cases if case.file), None)
    return Span(
        name=f"attempt {attempt.number} of {test.id}",
        span_id=span_id,
        parent_id=parent_id,
        start_ns=clock.ns(attempt.started_s),
        end_ns=clock.ns(_end_s(attempt)),
        failed=not attempt.harmless,
        attributes=_known(
            {
                "test.case.name": test.id,
                "test.case.result.status": "pass"
                if end.outcome == "passed"
                else ""
                if attempt.harmless
                else "fail",
                "error.type": "" if attempt.harmless else end.verdict.value,
                "code.file.path": place.file or "" if place is not None else "",
                "code.line.number": place.line or 0 if place is not None else 0,
                "process.exit.code": end.exit_code if end.exit_code is not None else "",
                "amd_ci.attempt.number": attempt.number,
                "amd_ci.attempt.outcome": end.outcome.value,
                "amd_ci.attempt.verdict": end.verdict.value,
                "amd_ci.attempt.symptom": end.symptom,
                "amd_ci.attempt.rule": end.rule or "",
                "amd_ci.attempt.node": node,
                "amd_ci.attempt.gpu_ids": ",".join(attempt.start.gpu_ids),
                "amd_ci.attempt.cases": attempt.counted,
            }
        ),
    )


def _end_s(attempt: Attempt) -> float:
    return attempt.started_s + attempt.end.duration_s


def _known(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    """The attributes that are known: no empty text, and no line 0."""
    return {
        name: value
        for name, value in attributes.items()
        if value != "" and (name != "code.line.number" or value)
    }
