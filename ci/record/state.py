"""A run while its events come in, and at its end: live views and the final record follow the same states."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode
from ci.record import events as ev
from ci.record.model import Attempt, RunRecord, ServerStart, SuiteRecord, TestRecord
from ci.record.phase_fold import PhaseFold
from ci.record.quarantine import Became, QuarantineRecord, rows_of
from ci.record.values import AttemptOutcome, EndReason, Leftover

__all__ = ["Key", "RunState", "moment_s", "worst_reason"]

# ids of suite and test: one file may be registered for several suites
Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class _Trial:
    """An attempt while its events come in; `end` stays None when the record stops inside it."""

    number: int
    start: ev.TestStarted = field(default_factory=ev.TestStarted)
    end: ev.TestEnded | None = None
    started_s: float = 0.0
    seen_s: float = 0.0
    cases: list[ev.Case] = field(default_factory=list)
    metrics: list[ev.Metric] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    servers: list[ServerStart] = field(default_factory=list)
    retry: ev.Retry | None = None

    def freeze(self, *, cancelled: bool = False) -> Attempt:
        """The attempt so far; one without an end was `cancelled` with the run, or lost with its agent."""
        end, outcome = self.end, AttemptOutcome.UNFINISHED
        if end is None:
            end = ev.TestEnded(
                outcome=outcome,
                verdict=Verdict.CANCELLED if cancelled else Verdict.INFRA,
                evidence=("the record ends while this attempt was running",),
                duration_s=max(0.0, self.seen_s - self.started_s),
            )
        if end.verdict is Verdict.PASSED and not end.outcome.harmless:
            end = replace(end, verdict=Verdict.UNKNOWN)
        return Attempt(
            number=self.number,
            started_s=self.started_s,
            start=replace(self.start, of=max(self.start.of, self.number)),
            end=end,
            retry=self.retry,
            cases=tuple(self.cases),
            metrics=tuple(self.metrics),
            notes=tuple(self.notes),
            servers=tuple(self.servers),
        )


@dataclass(slots=True, kw_only=True)
class _Test:
    """A test with its attempts so far, by number; `status` is None until it is settled."""

    est_s: float = 0.0
    asked: tuple[str, ...] = ()
    trials: dict[int, _Trial] = field(default_factory=dict)
    not_run: ev.TestNotRun | None = None
    status: Status | None = None

    @property
    def newest(self) -> _Trial | None:
        return self.trials[max(self.trials)] if self.trials else None

    def attempts(self, *, cancelled: bool = False) -> tuple[Attempt, ...]:
        return tuple(self.trials[number].freeze(cancelled=cancelled) for number in sorted(self.trials))


class RunState:
    """Takes the events of one run in their order, and says at every moment what is known."""

    def __init__(self) -> None:
        self.run: ev.RunStarted | None = None
        self._agent: ev.AgentStarted | None = None
        self._recorded_exit: int | None = None
        self._tests: dict[Key, _Test] = {}
        self._suites: dict[str, SuiteRecord] = {}
        self._failures: list[ev.ExecutorFailed] = []
        self._phases = PhaseFold()
        self._leftovers: list[Leftover] = []
        self._lost: list[ev.SlotLost] = []
        self._notes: list[str] = []
        self._problems: list[str] = []
        self._reasons: list[EndReason | None] = []
        self._first: float | None = None
        self._now_s = 0.0
        self._agent_began_s = 0.0
        self._next_seq: int | None = None

    def take(self, event: ev.Event) -> None:
        """Follow one event."""
        self._tick(event)
        match event:
            case ev.RunStarted():
                self.run = event
                for planned in event.tests:
                    test = self._test(planned.suite, planned.test)
                    test.est_s, test.asked = planned.est_s, planned.cases
            case ev.RunEnded():
                self._recorded_exit = event.exit_code
            case ev.ExecutorFailed():
                self._failures.append(event)
            case ev.PhaseStarted() | ev.PhaseProgress() | ev.PhaseEnded():
                self._phases.take(event, self._now_s)
            case ev.AgentStarted():
                self._agent = event
                self._reasons.append(None)
            case ev.AgentEnded():
                self._agent_ended(event)
            case ev.SuiteStarted():
                self._suites[event.suite] = SuiteRecord(id=event.suite, timeout_s=event.timeout_s)
            case ev.SuiteEnded():
                begun = self._suites.get(event.suite, SuiteRecord(id=event.suite))
                self._suites[event.suite] = SuiteRecord(
                    id=event.suite, timeout_s=begun.timeout_s, duration_s=event.duration_s
                )
            case ev.TestNotRun():
                left_out = self._test(event.suite, event.test)
                left_out.not_run, left_out.status = event, left_out.status or Status.NOT_RUN
            case ev.Note() if not event.test:
                self._notes.append(event.text)
            case ev.SlotLost():
                self._lost.append(event)
            case ev.AttemptEvent():
                self._of_attempt(event)
            case ev.Damaged():
                self._problems.append(event.text)
            case ev.Unknown():
                self._problems.append(f"event of unknown type {event.name!r} left out")
            case _:
                pass  # the capsule is for readers who have only the log

    @property
    def quarantine(self) -> tuple[QuarantineRecord, ...]:
        """The rows that hold for tests of this run."""
        return self.run.quarantine if self.run is not None else ()

    @property
    def total(self) -> int:
        """How many tests there are."""
        return len(self._tests)

    @property
    def settled(self) -> int:
        """How many tests have their final status."""
        return sum(test.status is not None for test in self._tests.values())

    def counts(self) -> dict[Status, int]:
        """Tests by final status, in the order of `Status`, those with none left out."""
        found = Counter(test.status for test in self._tests.values())
        return {status: found[status] for status in Status if found[status]}

    def status(self, key: Key) -> Status | None:
        """What a test ended with; None while it waits, runs or is to be tried again."""
        test = self._tests.get(key)
        return test.status if test is not None else None

    def verdict(self, key: Key) -> Verdict | None:
        """The verdict of a test by its attempts so far; None before the first."""
        test = self._tests.get(key)
        return judge(test.attempts())[1] if test is not None and test.trials else None

    def waiting_s(self) -> Mapping[Key, float]:
        """The estimates of the tests that are not settled, those that run among them."""
        return {key: test.est_s for key, test in self._tests.items() if test.status is None}

    def newest(self, key: Key) -> Attempt | None:
        """A test's newest attempt so far."""
        test = self._tests.get(key)
        newest = test.newest if test is not None else None
        return newest.freeze() if newest is not None else None

    def quarantined(self, key: Key) -> tuple[tuple[QuarantineRecord, Became], ...]:
        """The rows about a test's file, with what became of each in its newest attempt."""
        newest = self.newest(key)
        return (
            ()
            if newest is None
            else tuple((row, newest.became(row)) for row in rows_of(key[1], self.quarantine))
        )

    def _test(self, suite: str, test: str) -> _Test:
        return self._tests.setdefault((suite, test), _Test())

    def _tick(self, event: ev.Event) -> None:
        """Follow time and sequence numbers; an agent's own clock counts from its start."""
        self._now_s = max(self._now_s, self._passed_s(event))
        if event.by is not ev.By.AGENT:
            return
        if isinstance(event, ev.AgentStarted):
            self._agent_began_s, self._next_seq = self._now_s, None
        if event.elapsed_s is not None:
            self._now_s = max(self._now_s, self._agent_began_s + event.elapsed_s)
        if event.seq is None:
            return
        if self._next_seq is not None and event.seq != self._next_seq:
            self._problems.append(f"events {self._next_seq} to {event.seq - 1} of the agent are missing")
        self._next_seq = event.seq + 1

    def _passed_s(self, event: ev.Event) -> float:
        """Seconds from the start of the run; a clock that was set must not change them."""
        if event.by is ev.By.AGENT and event.elapsed_s is not None and not isinstance(event, ev.AgentStarted):
            return 0.0  # its own clock is better than when we read it
        if event.at_s is not None:
            return event.at_s
        moment = moment_s(event.time)  # of records without it
        if moment is None:
            return 0.0
        self._first = moment if self._first is None else self._first
        return moment - self._first

    def _of_attempt(self, event: ev.AttemptEvent) -> None:
        test = self._test(event.suite, event.test)
        if event.number not in test.trials:
            test.trials[event.number] = _Trial(number=event.number, started_s=self._now_s)
            if not isinstance(event, ev.TestStarted):
                missing = f"the start of attempt {event.number} is missing from the record"
                self._problems.append(f"{event.test}: {missing}")
        trial = test.trials[event.number]
        trial.seen_s = self._now_s
        match event:
            case ev.TestStarted():
                trial.start, trial.started_s = event, self._now_s
                test.est_s = test.est_s or event.est_s
                test.status = None
            case ev.TestEnded():
                trial.end = event
                test.status, _ = judge(test.attempts())
            case ev.Retry():
                trial.retry = event
                test.status = None
            case ev.Note():
                trial.notes.append(event.text)
                if event.server_s is not None:
                    began_s = max(trial.started_s, self._now_s - event.server_s)
                    trial.servers.append(ServerStart(started_s=began_s, ready_s=self._now_s))
            case ev.Case():
                trial.cases.append(event)
            case ev.Metric():
                trial.metrics.append(event)
            case _:
                pass  # progress and output are for live views; the log holds the rest

    def _agent_ended(self, event: ev.AgentEnded) -> None:
        self._reasons[-1:] = [event.reason]
        self._leftovers += event.leftovers
        for test in self._tests.values():
            # an attempt that was announced and never started: the failure before it decides
            if test.status is None and test.newest is not None and test.newest.retry is not None:
                test.status, _ = judge(test.attempts())

    def record(self) -> RunRecord:
        """What the run was, as far as the events say."""
        run, agent = self.run or ev.RunStarted(), self._agent or ev.AgentStarted()
        problems = list(self._problems)
        if self.run is None:
            problems.append("the record does not say what was planned: its run-started is missing")
        if None in self._reasons:
            problems.append("the agent's events stop without agent-ended")
        reason = worst_reason(self._reasons)
        cancelled = reason is EndReason.CANCELLED or self._recorded_exit == ExitCode.INTERRUPTED
        return RunRecord(
            start=replace(run, python=run.python or agent.python, time=run.time or agent.time),
            agent=agent,
            duration_s=self._now_s,
            suites=tuple(self._suites.values()),
            tests=tuple(self._frozen(key, test, cancelled=cancelled) for key, test in self._tests.items()),
            failures=tuple(self._failures),
            phases=self._phases.records(self._now_s),
            leftovers=tuple(self._leftovers),
            lost=tuple(self._lost),
            notes=tuple(self._notes),
            problems=tuple(problems),
            ended_reason=reason,
            recorded_exit=self._recorded_exit,
        )

    def _frozen(self, key: Key, test: _Test, *, cancelled: bool) -> TestRecord:
        attempts = test.attempts(cancelled=cancelled)
        because = ""
        if attempts:
            status, verdict = judge(attempts)
        else:
            status = Status.NOT_RUN
            verdict, because = self._why_not_run(test.not_run, cancelled=cancelled)
        return TestRecord(
            id=key[1],
            suite=key[0],
            asked=test.asked,
            status=status,
            verdict=verdict,
            est_s=test.est_s,
            attempts=attempts,
            not_run_because=because,
            quarantine=rows_of(key[1], self.quarantine),
        )

    def _why_not_run(self, event: ev.TestNotRun | None, *, cancelled: bool) -> tuple[Verdict, str]:
        """Verdict and reason of a test without an attempt: its own event, else what broke the run before it."""
        failure = self._failures[0] if self._failures else None
        because = event.because if event is not None else ""
        if not because and failure is not None:
            because = f"the run failed before it: {failure.what}"
        if event is not None:
            verdict = event.verdict
        elif cancelled:
            verdict = Verdict.CANCELLED
        else:
            verdict = failure.verdict if failure is not None else Verdict.INFRA
        return verdict, because or "the record has no event of this test"


def judge(attempts: tuple[Attempt, ...]) -> tuple[Status, Verdict]:
    """Status and verdict of a test; the last attempt decides, but only a pass wipes out a failure before it.

    A flaky test has the verdict of its last failure: why it was tried again.
    """
    failed = [attempt for attempt in attempts if not attempt.harmless]
    last = attempts[-1]
    if not failed and last.end.verdict is Verdict.CANCELLED:
        return Status.CANCELLED, Verdict.CANCELLED
    if last.end.outcome is AttemptOutcome.PASSED:
        return (Status.FLAKY, failed[-1].end.verdict) if failed else (Status.PASSED, last.end.verdict)
    if not failed:
        return Status.of_name(last.end.outcome), last.end.verdict
    decisive = failed[-1]
    return (Status.FAILED if decisive.end.gates else Status.QUARANTINED), decisive.end.verdict


def worst_reason(reasons: list[EndReason | None]) -> EndReason | None:
    """The reason of all the agents of a run together; None when one of them did not report its end."""
    if EndReason.CANCELLED in reasons:
        return EndReason.CANCELLED
    if not reasons or None in reasons:
        return None
    return next((reason for reason in reasons if reason is not EndReason.DONE), EndReason.DONE)


def moment_s(time: str) -> float | None:
    """An event's time in seconds since 1970, None when it has none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
