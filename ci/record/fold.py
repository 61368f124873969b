"""The record of a run: written as events, folded into one frozen value that every report reads."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode, worst
from ci.record.event_log import DAMAGED, Event, RecordWriter, encode_event, read_events
from ci.record.fields import integer, moment_s, number, objects, text, texts
from ci.record.model import (
    Attempt,
    BoundRecord,
    CaseRecord,
    DisabledTest,
    Leftover,
    MetricRecord,
    PhaseRecord,
    RunFailure,
    RunRecord,
    SkippedSuite,
    SuiteRecord,
    TestRecord,
)
from ci.record.phase_fold import PhaseFold
from ci.record.quarantine import QuarantineRecord, gates, rows_of

__all__ = [
    "Attempt",
    "BoundRecord",
    "CaseRecord",
    "DisabledTest",
    "Event",
    "Leftover",
    "MetricRecord",
    "PhaseRecord",
    "QuarantineRecord",
    "RecordWriter",
    "RunFailure",
    "RunRecord",
    "SkippedSuite",
    "SuiteRecord",
    "TestRecord",
    "encode_event",
    "exit_code",
    "fold",
    "number",
    "quarantine_rows",
    "read_events",
    "text",
    "texts",
]


def exit_code(record: RunRecord) -> int:
    """What the run ends with, by the table in docs/agent.md and `ci.errors.worst`.

    A test that was selected and of which the record holds nothing counts as infrastructure: it never counts as a
    pass. What `--fail-fast` left out adds nothing to the failure that caused it, as long as there is one that gates. A
    quarantined test gates nothing.
    """
    codes: set[int] = {failure.verdict.row.exit_code for failure in record.failures}
    if record.recorded_exit is not None:
        codes.add(record.recorded_exit)
    cancelled = record.ended_reason == "cancelled" or ExitCode.INTERRUPTED in codes
    if cancelled:
        codes.add(ExitCode.INTERRUPTED)
    if not record.run:
        codes.add(ExitCode.INFRASTRUCTURE)
    elif not record.tests and record.ended_reason is None:
        if not record.failures:
            codes.add(ExitCode.OK if record.empty_shards else ExitCode.NOTHING_SELECTED)
    elif record.ended_reason is None and not cancelled:
        codes.add(ExitCode.INFRASTRUCTURE)
    left_out = record.ended_reason == "fail-fast" and record.count(Status.FAILED) > 0
    for test in record.tests:
        if test.status is Status.FAILED or (
            test.status is Status.NOT_RUN and not (left_out and test.verdict is Verdict.CANCELLED)
        ):
            codes.add(test.verdict.row.exit_code)
    if record.tests and not any(test.status.row.judged for test in record.tests):
        codes.add(ExitCode.NOTHING_SELECTED)
    return worst(codes)


def quarantine_rows(event: Event) -> tuple[QuarantineRecord, ...]:
    """The rows that a `run-started` event carries."""
    return tuple(
        QuarantineRecord(
            test=text(item, "test"),
            reason=text(item, "reason"),
            issue=text(item, "issue"),
            since=text(item, "since"),
            expires=text(item, "expires"),
        )
        for item in objects(event, "quarantine")
        if text(item, "test")
    )


_Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class _Trial:
    """An attempt while its events come in; `end` stays None when the record stops inside it."""

    number: int
    start: Event = field(default_factory=dict)
    end: Event | None = None
    started_s: float = 0.0
    seen_s: float = 0.0
    cases: list[CaseRecord] = field(default_factory=list)
    metrics: list[MetricRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    retry: Event | None = None

    def freeze(self, *, cancelled: bool) -> Attempt:
        end = self.end
        if end is None:
            outcome, verdict = "unfinished", Verdict.CANCELLED if cancelled else Verdict.INFRA
            evidence: tuple[str, ...] = ("the record ends while this attempt was running",)
            end = {"duration_s": max(0.0, self.seen_s - self.started_s)}
        else:
            outcome = text(end, "outcome") or "failed"
            verdict = Verdict.of_name(text(end, "verdict") or Verdict.PASSED)
            if outcome not in ("passed", "skipped") and verdict is Verdict.PASSED:
                verdict = Verdict.UNKNOWN
            evidence = texts(end, "evidence")
        retry = self.retry
        return Attempt(
            number=self.number,
            outcome=outcome,
            verdict=verdict,
            of=max(int(number(self.start, "of", 1)), self.number),
            evidence=evidence,
            rule=text(end, "rule") or None,
            started_s=self.started_s,
            duration_s=number(end, "duration_s"),
            timeout_s=number(self.start, "timeout_s"),
            cases=tuple(self.cases),
            metrics=tuple(self.metrics),
            notes=tuple(self.notes),
            log=text(self.start, "log"),
            log_bytes=int(number(end, "log_bytes")),
            log_omitted_bytes=int(number(end, "log_omitted_bytes")),
            exit_code=integer(end, "exit_code"),
            signal=text(end, "signal") or None,
            leftovers=_leftovers(end),
            skip_reasons=texts(end, "skip_reasons"),
            gpu_ids=texts(self.start, "gpu_ids"),
            retry_wait_s=None if retry is None else number(retry, "wait_s"),
            retry_because="" if retry is None else text(retry, "because"),
        )


class _Fold:
    """One pass over the events of a record."""

    def __init__(self) -> None:
        self.run: Event = {}
        self.ended: Event = {}
        self.agent: Event = {}
        self.planned: dict[_Key, float] = {}
        self.asked: dict[_Key, tuple[str, ...]] = {}
        self.trials: dict[_Key, dict[int, _Trial]] = {}
        self.not_run: dict[_Key, Event] = {}
        self.suites: dict[str, SuiteRecord] = {}
        self.failures: list[RunFailure] = []
        self.phases = PhaseFold()
        self.leftovers: list[Leftover] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.reasons: list[str | None] = []
        self.first: float | None = None
        self.now_s = 0.0
        self.agent_began_s = 0.0
        self.next_seq: int | None = None

    def take(self, event: Event) -> None:
        self._tick(event)
        match event.get("type"):
            case "run-started":
                self.run = event
                for test in objects(event, "tests"):
                    key = text(test, "suite"), text(test, "test")
                    self.planned[key], self.asked[key] = number(test, "est_s"), texts(test, "cases")
            case "run-ended":
                self.ended = event
            case "executor-failed":
                verdict = Verdict.of_name(text(event, "verdict") or Verdict.INFRA)
                what, cause, then = text(event, "what"), text(event, "cause"), text(event, "then")
                problems = texts(event, "problems")
                self.failures.append(
                    RunFailure(what=what, cause=cause, then=then, problems=problems, verdict=verdict)
                )
            case "phase-started" | "phase-progress" | "phase-ended":
                self.phases.take(event, self.now_s)
            case "agent-started":
                self.agent = event
                self.reasons.append(None)
            case "agent-ended":
                self.reasons[-1:] = [text(event, "reason") or "done"]
                self.leftovers += _leftovers(event)
            case "suite-started":
                suite = text(event, "suite")
                self.suites[suite] = SuiteRecord(id=suite, timeout_s=number(event, "timeout_s"))
            case "suite-ended":
                suite = text(event, "suite")
                begun = self.suites.get(suite, SuiteRecord(id=suite))
                duration_s = number(event, "duration_s")
                self.suites[suite] = SuiteRecord(id=suite, timeout_s=begun.timeout_s, duration_s=duration_s)
            case "test-not-run":
                self.not_run[text(event, "suite"), text(event, "test")] = event
            case "capsule":
                pass  # for whoever has only the log; the run folder has the plan itself
            case "note" if not event.get("test"):
                self.notes.append(text(event, "text"))
            case "test-started" | "case" | "metric" | "note" | "test-ended" | "retry" | "progress" | "output":
                self._of_attempt(event)
            case kind if kind == DAMAGED:
                self.problems.append(text(event, "text"))
            case kind:
                self.problems.append(f"event of unknown type {kind!r} left out")

    def _tick(self, event: Event) -> None:
        """Follow time and sequence numbers; an agent's own clock counts from its start."""
        moment = moment_s(event)
        if moment is not None:
            self.first = moment if self.first is None else self.first
            self.now_s = max(self.now_s, moment - self.first)
        if text(event, "by") != "agent":
            return
        if event.get("type") == "agent-started":
            self.agent_began_s, self.next_seq = self.now_s, None
        if "elapsed_s" in event:
            self.now_s = max(self.now_s, self.agent_began_s + number(event, "elapsed_s"))
        seq = integer(event, "seq")
        if seq is None:
            return
        if self.next_seq is not None and seq != self.next_seq:
            self.problems.append(f"events {self.next_seq} to {seq - 1} of the agent are missing")
        self.next_seq = seq + 1

    def _of_attempt(self, event: Event) -> None:
        key = text(event, "suite"), text(event, "test")
        attempt = integer(event, "attempt") or 1
        trials = self.trials.setdefault(key, {})
        if attempt not in trials:
            trials[attempt] = _Trial(number=attempt, started_s=self.now_s)
            if event.get("type") != "test-started":
                self.problems.append(f"{key[1]}: the start of attempt {attempt} is missing from the record")
        trial = trials[attempt]
        trial.seen_s = self.now_s
        match event.get("type"):
            case "test-started":
                trial.start, trial.started_s = event, self.now_s
            case "test-ended":
                trial.end = event
            case "retry":
                trial.retry = event
            case "note":
                trial.notes.append(text(event, "text"))
            case "case":
                trial.cases.append(_case(event))
            case "metric":
                value = number(event, "value", math.nan)
                if math.isnan(value):
                    name, raw = text(event, "metric"), event.get("value")
                    self.problems.append(f"{key[1]}: metric {name} has no finite number: {raw!r}")
                else:
                    trial.metrics.append(_metric(event, value))
            case _:
                pass  # progress and output are for live views; the log holds the rest

    def record(self) -> RunRecord:
        run = self.run
        if not run:
            self.problems.append("the record does not say what was planned: its run-started is missing")
        if None in self.reasons:
            self.problems.append("the agent's events stop without agent-ended")
        ended_reason = _worst_reason(self.reasons)
        recorded = integer(self.ended, "exit_code")
        cancelled = ended_reason == "cancelled" or recorded == ExitCode.INTERRUPTED
        keys = dict.fromkeys([*self.planned, *self.trials, *self.not_run])
        github = run.get("github")
        github = github if isinstance(github, Mapping) else {}
        return RunRecord(
            run=text(run, "run"),
            stage=text(run, "stage"),
            session=text(run, "session"),
            rehearsal=run.get("rehearsal") is True,
            rehearsal_because=text(run, "rehearsal_because"),
            hardware_class=text(run, "hardware_class"),
            engine=text(run, "engine"),
            executor=text(run, "executor"),
            plan_digest=text(run, "plan_digest"),
            commit=text(run, "commit"),
            command=text(run, "command"),
            python=text(run, "python") or text(self.agent, "python"),
            host=text(self.agent, "host"),
            platform=text(self.agent, "platform"),
            github_event=text(github, "event"),
            github_url=text(github, "run_url"),
            started=text(run, "time") or text(self.agent, "time"),
            duration_s=self.now_s,
            suites=tuple(self.suites.values()),
            tests=tuple(self._test(key, cancelled=cancelled) for key in keys),
            skipped_suites=tuple(
                SkippedSuite(suite=text(item, "suite"), because=text(item, "because"))
                for item in objects(run, "skipped_suites")
            ),
            disabled=tuple(
                DisabledTest(
                    suite=text(item, "suite"), test=text(item, "test"), because=text(item, "because")
                )
                for item in objects(run, "disabled")
            ),
            empty_shards=tuple(
                f"{text(item, 'suite')} {text(item, 'shard')}" for item in objects(run, "empty_shards")
            ),
            failures=tuple(self.failures),
            phases=self.phases.records(self.now_s),
            leftovers=tuple(self.leftovers),
            quarantine=quarantine_rows(run),
            notes=tuple(self.notes),
            problems=tuple(self.problems),
            ended_reason=ended_reason,
            recorded_exit=recorded,
        )

    def _test(self, key: _Key, *, cancelled: bool) -> TestRecord:
        suite, test = key
        quarantine = rows_of(test, quarantine_rows(self.run))
        est_s = self.planned.get(key, 0.0)
        trials = self.trials.get(key, {})
        attempts = tuple(trials[at].freeze(cancelled=cancelled) for at in sorted(trials))
        if not attempts:
            event = self.not_run.get(key, {})
            verdict, because = self._why_not_run(event, cancelled=cancelled)
            return TestRecord(
                id=test,
                suite=suite,
                asked=self.asked.get(key, ()),
                status=Status.NOT_RUN,
                verdict=verdict,
                est_s=est_s,
                not_run_because=because,
                quarantine=quarantine,
            )
        est_s = est_s or number(trials[attempts[0].number].start, "est_s")
        status, verdict = _judge(attempts, quarantine)
        return TestRecord(
            id=test,
            suite=suite,
            asked=self.asked.get(key, ()),
            status=status,
            verdict=verdict,
            est_s=est_s,
            attempts=attempts,
            quarantine=quarantine,
        )

    def _why_not_run(self, event: Event, *, cancelled: bool) -> tuple[Verdict, str]:
        """Verdict and reason of a test without an attempt: its own event, else what broke the run before it."""
        because = text(event, "because")
        failure = self.failures[0] if self.failures else None
        if not because and failure is not None:
            because = f"the run failed before it: {failure.what}"
        if event.get("verdict"):
            verdict = Verdict.of_name(text(event, "verdict"))
        elif cancelled:
            verdict = Verdict.CANCELLED
        else:
            verdict = failure.verdict if failure is not None else Verdict.INFRA
        return verdict, because or "the record holds nothing about this test"


def _judge(attempts: tuple[Attempt, ...], quarantine: tuple[QuarantineRecord, ...]) -> tuple[Status, Verdict]:
    """Status and verdict of a test; the last attempt decides, but a skip never wipes out a failure before it."""
    failed = [attempt for attempt in attempts if not attempt.harmless]
    last = attempts[-1]
    if last.outcome == "passed":
        return (Status.FLAKY if failed else Status.PASSED), last.verdict
    if last.outcome == "skipped" and not failed:
        return Status.SKIPPED, last.verdict
    decisive = failed[-1]
    nodes = [case.case for case in decisive.failed_cases]
    # an attempt that the record does not end is nobody's to excuse
    gating = decisive.outcome != "failed" or gates(
        quarantine, nodes, verdict=decisive.verdict, exit_code=decisive.exit_code
    )
    return (Status.FAILED if gating else Status.QUARANTINED), decisive.verdict


def _worst_reason(reasons: list[str | None]) -> str | None:
    """The reason of all the agents of a run together; None when one of them never said how it ended."""
    if "cancelled" in reasons:
        return "cancelled"
    if not reasons or None in reasons:
        return None
    return next((reason for reason in reasons if reason != "done"), "done")


def _leftovers(event: Event) -> tuple[Leftover, ...]:
    return tuple(
        Leftover(pid=int(number(item, "pid")), command=text(item, "command"))
        for item in objects(event, "leftovers")
    )


def _case(event: Event) -> CaseRecord:
    return CaseRecord(
        case=text(event, "case"),
        outcome=text(event, "outcome"),
        duration_s=number(event, "duration_s"),
        message=text(event, "message"),
        details=text(event, "details"),
        file=text(event, "file"),
        line=integer(event, "line"),
        verdict=Verdict.of_name(text(event, "verdict")) if event.get("verdict") else None,
    )


def _metric(event: Event, value: float) -> MetricRecord:
    bound = event.get("bound")
    judged = None
    if isinstance(bound, Mapping):
        judged = BoundRecord(
            ok=bound.get("ok") is True,
            op=text(bound, "op"),
            limit=number(bound, "limit"),
            source=text(bound, "source"),
            report_only=bound.get("report_only") is True,
        )
    return MetricRecord(metric=text(event, "metric"), value=value, unit=text(event, "unit"), bound=judged)


def fold(events: Iterable[Event]) -> RunRecord:
    """The record that these events tell; never fails on an odd event, it says so in `problems`."""
    state = _Fold()
    for event in events:
        state.take(event)
    return state.record()
