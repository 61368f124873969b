"""The attempts at one test, folded out of their events."""

from dataclasses import dataclass, field, replace

from ci.catalog.verdicts import Status, Verdict
from ci.record import events as ev
from ci.record.model import Attempt, RoleRecord, ServerStart
from ci.record.values import AttemptOutcome

__all__ = ["TestTrials", "Trial", "judge"]


@dataclass(slots=True, kw_only=True)
class Trial:
    """An attempt while its events come in; `end` stays None when the record stops inside it.

    `lost` says what became of its worker, empty while that is there.
    """

    number: int
    worker: str = ""
    start: ev.TestStarted = field(default_factory=ev.TestStarted)
    end: ev.TestEnded | None = None
    started_s: float = 0.0
    seen_s: float = 0.0
    cases: list[ev.Case] = field(default_factory=list)
    metrics: list[ev.Metric] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    servers: list[ServerStart] = field(default_factory=list)
    roles: dict[str, RoleRecord] = field(default_factory=dict)
    retry: ev.Retry | None = None
    lost: str = ""

    def take(self, event: ev.AttemptEvent, moment_s: float) -> None:
        """Follow one event of the attempt."""
        self.seen_s = moment_s
        match event:
            case ev.TestStarted():
                self.start, self.started_s = event, moment_s
            case ev.TestEnded():
                self.end = event
            case ev.Retry():
                self.retry = event
            case ev.Note():
                self.notes.append(event.text)
                if event.server_s is not None:
                    began_s = max(self.started_s, moment_s - event.server_s)
                    self.servers.append(ServerStart(started_s=began_s, ready_s=moment_s))
            case ev.Case():
                self.cases.append(event)
            case ev.Metric():
                self.metrics.append(event)
            case ev.RoleStarted() | ev.RoleReady() | ev.RoleEnded():
                self._take_role(event)
            case _:
                pass  # progress and output are for live views; the log holds the rest

    def _take_role(self, event: ev.RoleStarted | ev.RoleReady | ev.RoleEnded) -> None:
        if isinstance(event, ev.RoleStarted):
            self.roles[event.role] = RoleRecord(start=event)
            return
        # one that could not be started has no other event
        known = self.roles.get(event.role) or RoleRecord(start=ev.RoleStarted(role=event.role))
        change = {"took_s": event.took_s} if isinstance(event, ev.RoleReady) else {"end": event}
        self.roles[event.role] = replace(known, **change)

    def freeze(self, made_up: ev.TestEnded, *, before: int) -> Attempt:
        """The attempt so far, after `before` others; `made_up` is its end where it has none."""
        end = self.end or replace(made_up, duration_s=max(0.0, self.seen_s - self.started_s))
        if end.verdict is Verdict.PASSED and not end.outcome.harmless:
            end = replace(end, verdict=Verdict.UNKNOWN)
        number = before + self.number
        of = max(before + self.start.of, number)
        return Attempt(
            number=number,
            worker=self.worker,
            started_s=self.started_s,
            start=replace(self.start, of=of),
            end=end,
            retry=self.retry,
            cases=tuple(self.cases),
            metrics=tuple(self.metrics),
            notes=tuple(self.notes),
            servers=tuple(self.servers),
            roles=tuple(self.roles.values()),
        )


@dataclass(slots=True, kw_only=True)
class TestTrials:
    """A test with its attempts so far; `status` is None until it is settled.

    `claims` has the attempts of each worker that had the test, by number, the last worker last. In a run on one machine there is
    one, of no worker.
    """

    __test__ = False  # pytest would collect a class of this name

    est_s: float = 0.0
    asked: tuple[str, ...] = ()
    claims: dict[str, dict[int, Trial]] = field(default_factory=dict)
    not_run: ev.TestNotRun | None = None
    status: Status | None = None

    @property
    def newest(self) -> Trial | None:
        """The last attempt of the worker that had the test last."""
        if not self.claims:
            return None
        trials = list(self.claims.values())[-1]
        return trials[max(trials)]

    def trial(self, event: ev.AttemptEvent, moment_s: float) -> tuple[Trial, bool]:
        """The attempt that an event is about, and whether this is its first event."""
        trials = self.claims.setdefault(event.worker, {})
        is_new = event.number not in trials
        if is_new:
            trials[event.number] = Trial(number=event.number, worker=event.worker, started_s=moment_s)
        return trials[event.number], is_new

    def lose(self, worker: str, words: str, moment_s: float) -> None:
        """The worker that had the test is gone; what it ran ended with it."""
        for trial in self.claims.get(worker, {}).values():
            trial.lost, trial.seen_s = words, max(trial.seen_s, moment_s)

    def settle(self) -> None:
        """Nothing more comes of it."""
        self.status = judge(self.attempts())[0] if self.claims else Status.NOT_RUN

    def attempts(self, *, cancelled: bool = False) -> tuple[Attempt, ...]:
        """All attempts in order, counted through; one without an end was `cancelled` with the run, or lost with its agent."""
        found: list[Attempt] = []
        for place, trials in enumerate(self.claims.values(), start=1):
            before = found[-1].number if found else 0
            for number in sorted(trials):
                end = self._without_end(trials[number], cancelled=cancelled, again=place < len(self.claims))
                found.append(trials[number].freeze(end, before=before))
        return tuple(found)

    def _without_end(self, trial: Trial, *, cancelled: bool, again: bool) -> ev.TestEnded:
        """How an attempt ended of which the record has no end."""
        if again:
            evidence = trial.lost or "another worker ran the test again"
            return ev.TestEnded(outcome=AttemptOutcome.LOST, verdict=Verdict.INFRA, evidence=(evidence,))
        evidence = trial.lost or "the record ends while this attempt was running"
        verdict = Verdict.CANCELLED if cancelled else Verdict.INFRA
        if self.not_run is not None:
            evidence, verdict = self.not_run.because or evidence, self.not_run.verdict
        return ev.TestEnded(outcome=AttemptOutcome.UNFINISHED, verdict=verdict, evidence=(evidence,))


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
