"""A run while its events come in, and at its end: live views and the final record follow the same states."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode
from ci.record import events as ev
from ci.record.model import Attempt, RunRecord, SuiteRecord, TestRecord, WorkerRecord
from ci.record.moments import Moments
from ci.record.phase_fold import PhaseFold
from ci.record.quarantine import Became, QuarantineRecord, rows_of
from ci.record.trials import TestTrials, judge
from ci.record.values import EndReason, Leftover
from ci.record.worker_fold import WorkerFold

__all__ = ["Key", "RunState", "worst_reason"]

# ids of suite and test: one file may be registered for several suites
Key = tuple[str, str]


class RunState:
    """Takes the events of one run in their order, and says at every moment what is known."""

    def __init__(self) -> None:
        self.run: ev.RunStarted | None = None
        self._agent: ev.AgentStarted | None = None
        self._recorded_exit: int | None = None
        self._tests: dict[Key, TestTrials] = {}
        self._suites: dict[str, SuiteRecord] = {}
        self._failures: list[ev.ExecutorFailed] = []
        self._phases = PhaseFold()
        self._workers = WorkerFold()
        self._moments = Moments()
        self._job: ev.Job | None = None
        self._leftovers: list[Leftover] = []
        self._lost: list[ev.SlotLost] = []
        self._notes: list[str] = []
        self._problems: list[str] = []
        self._reasons: list[EndReason | None] = []

    def take(self, event: ev.Event) -> None:
        """Follow one event."""
        moment_s = self._moments.take(event)
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
                self._phases.take(event, moment_s)
            case ev.AgentStarted():
                self._agent = event
                self._reasons.append(None)
            case ev.AgentEnded():
                self._reasons[-1:] = [event.reason]
                self._leftovers += event.leftovers
                self._give_up_retries()
            case ev.WorkerStarted() | ev.WorkerEnded() | ev.WorkerLost():
                self._workers.take(event, moment_s)
                self._of_worker(event, moment_s)
            case ev.Job():
                self._job = event
            case ev.SuiteStarted():
                self._suites[event.suite] = SuiteRecord(id=event.suite, timeout_s=event.timeout_s)
            case ev.SuiteEnded():
                begun = self._suites.get(event.suite, SuiteRecord(id=event.suite))
                self._suites[event.suite] = SuiteRecord(
                    id=event.suite, timeout_s=begun.timeout_s, duration_s=event.duration_s
                )
            case ev.TestNotRun():
                left_out = self._test(event.suite, event.test)
                if left_out.status is None:
                    left_out.not_run = event
                    left_out.settle()
            case ev.Note() if event.settles:
                self._of_attempt(event, moment_s)
                self._test(event.suite, event.test).settle()
            case ev.Note() if not event.test:
                self._notes.append(event.text)
            case ev.SlotLost():
                self._lost.append(event)
            case ev.AttemptEvent():
                self._of_attempt(event, moment_s)
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
    def workers(self) -> tuple[WorkerRecord, ...]:
        """The workers so far; none in a run on one machine."""
        return self._workers.records()

    def worker(self, number: str) -> WorkerRecord:
        """As `RunRecord.worker`."""
        return self._workers.get(number)

    @property
    def job(self) -> ev.Job | None:
        """Slurm's job of this run, as it was seen last."""
        return self._job

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
        return judge(test.attempts())[1] if test is not None and test.claims else None

    def waiting_s(self) -> Mapping[Key, float]:
        """The estimates of the tests that are not settled, those that run among them."""
        return {key: test.est_s for key, test in self._tests.items() if test.status is None}

    def newest(self, key: Key) -> Attempt | None:
        """A test's newest attempt so far."""
        test = self._tests.get(key)
        attempts = test.attempts() if test is not None else ()
        return attempts[-1] if attempts else None

    def quarantined(self, key: Key) -> tuple[tuple[QuarantineRecord, Became], ...]:
        """The rows about a test's file, with what became of each in its newest attempt."""
        newest = self.newest(key)
        return (
            ()
            if newest is None
            else tuple((row, newest.became(row)) for row in rows_of(key[1], self.quarantine))
        )

    def _test(self, suite: str, test: str) -> TestTrials:
        return self._tests.setdefault((suite, test), TestTrials())

    def _of_attempt(self, event: ev.AttemptEvent, moment_s: float) -> None:
        test = self._test(event.suite, event.test)
        trial, is_new = test.trial(event, moment_s)
        if is_new and not isinstance(event, ev.TestStarted):
            missing = f"the start of attempt {event.number} is missing from the record"
            self._problems.append(f"{event.test}: {missing}")
        trial.take(event, moment_s)
        newest = test.newest
        match event:
            case ev.TestStarted():
                test.est_s = test.est_s or event.est_s
                test.status = None
            case ev.Retry():
                test.status = None
            case ev.TestEnded() if newest is not None and newest.end is not None:
                # another worker may run the test again while the end of a lost one is still read
                test.settle()
            case _:
                pass

    def _of_worker(self, event: ev.WorkerStarted | ev.WorkerEnded | ev.WorkerLost, moment_s: float) -> None:
        """What the tests of a worker become when it ends, or is lost."""
        match event:
            case ev.WorkerEnded():
                self._leftovers += event.leftovers
                self._give_up_retries(event.worker)
            case ev.WorkerLost():
                again = {(each.suite, each.test) for each in event.tests}
                words = f"{self._workers.get(event.worker).name} was lost: {event.because}"
                for key, test in self._tests.items():
                    if test.status is None and test.newest is not None and test.newest.worker == event.worker:
                        test.lose(event.worker, words, moment_s)
                        if key not in again:
                            test.settle()
            case _:
                pass

    def _give_up_retries(self, worker: str | None = None) -> None:
        """An attempt that was announced and never started: the failure before it decides. `worker`: of its tests alone."""
        for test in self._tests.values():
            newest = test.newest
            if newest is None or newest.retry is None or test.status is not None:
                continue
            if worker in (None, newest.worker):
                test.settle()

    def record(self) -> RunRecord:
        """What the run was, as far as the events say."""
        run, agent = self.run or ev.RunStarted(), self._agent or ev.AgentStarted()
        problems = [*self._moments.problems, *self._problems]
        if self.run is None:
            problems.append("the record does not say what was planned: its run-started is missing")
        if None in self._reasons:
            problems.append("the agent's events stop without agent-ended")
        workers = self._workers.records()
        problems += [
            f"the events of {each.name} stop without worker-ended" for each in workers if each.ended_s is None
        ]
        reason = worst_reason(self._reasons)
        cancelled = reason is EndReason.CANCELLED or self._recorded_exit == ExitCode.INTERRUPTED
        return RunRecord(
            start=replace(run, python=run.python or agent.python, time=run.time or agent.time),
            agent=agent,
            duration_s=self._moments.now_s,
            suites=tuple(self._suites.values()),
            tests=tuple(self._frozen(key, test, cancelled=cancelled) for key, test in self._tests.items()),
            failures=tuple(self._failures),
            phases=self._phases.records(self._moments.now_s),
            leftovers=tuple(self._leftovers),
            lost=tuple(self._lost),
            notes=tuple(self._notes),
            problems=tuple(problems),
            ended_reason=reason,
            recorded_exit=self._recorded_exit,
            workers=workers,
            job=self._job,
        )

    def _frozen(self, key: Key, test: TestTrials, *, cancelled: bool) -> TestRecord:
        attempts = test.attempts(cancelled=cancelled)
        because, run_failed = "", False
        if attempts:
            status, verdict = judge(attempts)
        else:
            status = Status.NOT_RUN
            verdict, because = self._why_not_run(test.not_run, cancelled=cancelled)
            run_failed = bool(self._failures) and not (test.not_run is not None and test.not_run.because)
        return TestRecord(
            id=key[1],
            suite=key[0],
            asked=test.asked,
            status=status,
            verdict=verdict,
            est_s=test.est_s,
            attempts=attempts,
            not_run_because=because,
            run_failed=run_failed,
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


def worst_reason(reasons: list[EndReason | None]) -> EndReason | None:
    """The reason of all the agents of a run together; None when one of them did not report its end."""
    if EndReason.CANCELLED in reasons:
        return EndReason.CANCELLED
    if not reasons or None in reasons:
        return None
    return next((reason for reason in reasons if reason is not EndReason.DONE), EndReason.DONE)
