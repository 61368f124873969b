"""One run from its folder to its end: the executor's events go into the record and to the view."""

import math
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from ci.catalog.catalog import Catalog
from ci.errors import CiError, ExitCode, worst, writing
from ci.execute.executor import Executor, FollowedElsewhereError, RunInputs
from ci.execute.process_sweep import register, sweep_ended_runs, unregister
from ci.execute.registry import EXECUTORS, REFUSALS
from ci.execute.run_folder import RunFolder, make_folder
from ci.execute.slurm.owner import Jobs, job_goes_on
from ci.execute.spec import Spec, make_spec
from ci.facts.gather import find_today
from ci.plan.compare import capsule
from ci.plan.model import Plan
from ci.plan.quarantine import tried_date_note
from ci.record.event_log import RecordWriter, read_events
from ci.record.events import Baseline, Capsule, Event, Note, RunEnded, RunStarted
from ci.record.fold import exit_code, fold
from ci.record.model import RunRecord
from ci.record.moments import moment_s
from ci.record.quarantine import QuarantineRecord
from ci.record.values import DisabledTest, EmptyShard, GithubRun, PlannedTest, SkippedSuite
from ci.system import clock
from ci.system.environ import TODAY

__all__ = ["Ending", "Run", "Show"]


# the engine whose place another takes in a rehearsal
_UNDER_TEST = "sglang"

# of a suite with roles in a rehearsal: what it proves, and what not
_ROLES_STOOD_IN = (
    "a whole server for each of prefill and decode, which share no KV cache: roles, addresses, order and failure are "
    "proven, the transfer of KV caches is not"
)

# two SIGINTs within this time are one press: a terminal and a parent may send one each
_ONE_PRESS_S = 0.3

# shows an event as it happens
Show = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended. `failure` is why the record stops early, None when it is whole."""

    folder: RunFolder
    record: RunRecord
    failure: CiError | None
    exit_code: int


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a plan. It takes INT, TERM and HUP for itself.

    `environ` is the caller's: only what the plan passes through reaches the tests. `view` is entered once the folder is
    there and left before `report`, which is called last. `say` takes a line about what an earlier run had left. `baseline` is
    the run that this one is compared with. `acknowledge` takes a line in the middle of whatever is being written. All processes of
    the run have the token.
    """

    plan: Plan
    catalog: Catalog
    environ: Mapping[str, str]
    view: Callable[[RunFolder], AbstractContextManager[Show]]
    report: Callable[[Ending], None]
    say: Callable[[str], None]
    acknowledge: Callable[[str], None]
    baseline: Baseline | None = None
    token: str = field(default_factory=clock.new_token)
    _interrupted: bool = field(default=False, init=False)
    _detached: bool = field(default=False, init=False)
    _executor: Executor | None = field(default=None, init=False)
    _pressed_s: float = field(default=-math.inf, init=False)
    _parent: int = field(default_factory=os.getppid, init=False)

    def act(self) -> int:
        """Do it; returns the exit code.

        Raises:
            InfrastructureError: the run folder cannot be made or written.
            UsageError: pytest is known not to take its arguments; there is no run folder.
        """
        jobs = Jobs(self.environ)
        for process in sweep_ended_runs(
            self._live, wait=clock.sleep_s, goes_on=lambda run: job_goes_on(run, jobs, self.say)
        ):
            self.say(f"killed process {process.pid} of a killed run ({process.command})")
        refuse = REFUSALS.get(self.plan.placement.executor)
        if refuse is not None:
            refuse(self.plan, self._spec("", self.plan.placement.runs_dir), self.environ)
        folder = make_folder(self.plan, clock.utc_now())
        with writing(folder.plan):
            folder.plan.write_text(self.plan.text())
        return self.go_on(folder)

    def go_on(self, folder: RunFolder) -> int:
        """Do what its record does not hold yet; returns the exit code.

        Raises:
            InfrastructureError: the run folder cannot be written.
            FollowedElsewhereError: another process does it.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        with writing(folder.plan):
            register(self._live, self.token, folder.path)
        try:
            ending = self._record(folder, read_events(folder.events) if folder.events.exists() else ())
            if not self._detached:
                self.report(ending)
            return ending.exit_code
        finally:
            if self._executor is None or not self._executor.goes_on:
                unregister(self._live, self.token)

    @property
    def _live(self) -> Path:
        """The folder with the runs in progress."""
        return Path(self.plan.placement.runs_dir) / ".live"

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The first signal ends the tests; of the later ones a second Ctrl-C kills them: GitHub and Nox send INT, then TERM.

        What can go on without us does so when only we are to end: our terminal or our parent is gone.
        """
        if self._detached:
            return
        alone = number == signal.SIGHUP or (number == signal.SIGTERM and os.getppid() != self._parent)
        if alone and not self._interrupted and self._executor is not None:
            words = self._executor.detach()
            if words:
                self._detached = self._interrupted = True
                self.acknowledge(words)
                return
        now, first = clock.monotonic_s(), not self._interrupted
        self._interrupted = True
        at_once = not first and number == signal.SIGINT and now - self._pressed_s > _ONE_PRESS_S
        if first or number == signal.SIGINT:
            self._pressed_s = now
        executor = self._executor
        if first:
            within = f", up to {math.ceil(executor.stop_s)} s" if executor is not None else ""
            self.acknowledge(f"stopping{within}; press Ctrl-C again to kill the tests at once")
        elif at_once:
            self.acknowledge("killing the tests")
        if executor is not None:
            executor.stop(at_once=at_once)

    def _record(self, folder: RunFolder, past: Sequence[Event]) -> Ending:
        """Run and record; a record that cannot be written ends the run, not the reports. `past` is what the record holds already."""
        failure: CiError | None = None
        began_s = clock.monotonic_s() - _passed_s(past)
        with self.view(folder) as show:
            for event in past:
                show(event)
            record = RecordWriter(folder.events)

            def emit(event: Event) -> None:
                at_s = round(clock.monotonic_s() - began_s, 3)
                timed = replace(event, at_s=at_s, time=event.time or clock.iso(clock.utc_now()))
                record.append(timed)
                show(timed)

            try:
                with record:
                    if not past:
                        self._begin(folder, emit)
                    if self.plan.work.tests:
                        self._execute(folder, emit)
                    if not self._detached:
                        code = self._code(fold(read_events(folder.events)))
                        # again at the end: a log may be cut at either side
                        emit(self._capsule())
                        emit(RunEnded(exit_code=code))
            except FollowedElsewhereError:
                raise
            except CiError as error:
                failure = error
        folded = fold(read_events(folder.events))
        code = self._code(folded)
        if failure is not None:
            code = worst((code, int(failure.exit_code)))
        return Ending(folder=folder, record=folded, failure=failure, exit_code=code)

    def _begin(self, folder: RunFolder, emit: Callable[[Event], None]) -> None:
        started = _started(self.plan, self.catalog, self.environ, folder)
        emit(replace(started, baseline=self.baseline))
        emit(self._capsule())
        if self.environ.get(TODAY):
            emit(Note(text=tried_date_note(*find_today(self.environ))))

    def _execute(self, folder: RunFolder, emit: Callable[[Event], None]) -> None:
        executor = EXECUTORS[self.plan.placement.executor].open_executor(
            RunInputs(
                plan=self.plan,
                folder=folder,
                catalog=self.catalog,
                token=self.token,
                environ=self.environ,
            )
        )
        spec = self._spec(folder.name, str(folder.path))
        with executor:
            try:
                executor.start(spec)
            finally:
                self._executor = executor
            if self._interrupted:
                executor.stop()
            for event in executor.events():
                emit(event)
        for process in executor.swept:
            emit(Note(text=f"killed after the agent's end: process {process.pid} ({process.command})"))

    def _spec(self, run: str, run_dir: str) -> Spec:
        features = frozenset().union(*(engine.features for engine in self.catalog.engines.values()))
        return make_spec(
            self.plan,
            run=run,
            run_dir=run_dir,
            token=self.token,
            known_features=tuple(sorted(features)),
            shared_memory=tuple(row.prefix for row in self.catalog.health.shared_memory),
        )

    def _capsule(self) -> Capsule:
        return Capsule(text=capsule.encode(self.plan))

    def _code(self, record: RunRecord) -> int:
        code = exit_code(record)
        return worst((code, int(ExitCode.INTERRUPTED))) if self._interrupted else code


def _passed_s(past: Sequence[Event]) -> float:
    """Seconds since the start of a run that others have recorded; 0 for one that begins."""
    times = [moment for event in past[:1] if (moment := moment_s(event.time)) is not None]
    if not times:
        return 0.0
    recorded_s = max((event.at_s or 0.0 for event in past), default=0.0)
    return max(recorded_s, clock.utc_now().timestamp() - times[0])


def _stood_in(plan: Plan, catalog: Catalog) -> tuple[str, ...]:
    """What takes the place of what in this rehearsal."""
    work = plan.work
    stand_ins = {model.stand_in.id for model in work.models.values() if model.stand_in is not None}
    weights = {catalog.stand_ins[each].name if each in catalog.stand_ins else each for each in stand_ins}
    found = [f"the weights of {', '.join(sorted(weights))} for those of every model"] if weights else []
    if any(suite.roles and suite.tests for suite in work.suites):
        found.append(_ROLES_STOOD_IN)
    if work.engine_build is None:
        return (f"{work.engine} for {catalog.engines[_UNDER_TEST].package}", *found)
    return (*found, "a stand-in for the compiled kernels of sgl_kernel, whose calls fail their test")


def _where(plan: Plan) -> str:
    """The executor, and of which cluster."""
    executor, slurm = plan.placement.executor, plan.placement.slurm
    return f"{executor}, {slurm.words}" if slurm is not None else executor


def _started(plan: Plan, catalog: Catalog, environ: Mapping[str, str], folder: RunFolder) -> RunStarted:
    """What is run, and what is left out with the reasons."""
    work, slurm = plan.work, plan.placement.slurm
    github = None
    if environ.get("GITHUB_ACTIONS") == "true":
        base = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        run_url = f"{base}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
        github = GithubRun(event=plan.placement.event, run_url=run_url)
    return RunStarted(
        run=folder.name,
        stage=work.stage,
        session=catalog.stage(work.stage).session,
        plan_digest=plan.digest,
        rehearsal=work.rehearsal,
        rehearsal_because=plan.sources.get("work.hardware_class", "") if work.rehearsal else "",
        stood_in=_stood_in(plan, catalog) if work.rehearsal else (),
        hardware_class=work.hardware_class,
        engine=f"{work.engine} {work.engine_version}".strip(),
        executor=_where(plan),
        commit=work.commit,
        command=shlex.join(plan.placement.command),
        python=plan.placement.python_version,
        unverified=plan.unverified,
        never_run=f"runtime {slurm.runtime}" if slurm is not None and slurm.never_run else "",
        github=github,
        tests=tuple(
            PlannedTest(suite=suite.id, test=test.id, est_s=test.est_s, cases=test.cases)
            for suite in work.suites
            for test in suite.tests
        ),
        skipped_suites=tuple(
            SkippedSuite(suite=row.suite, because=row.because) for row in plan.left_out if not row.test
        ),
        disabled=tuple(
            DisabledTest(suite=row.suite, test=row.test, because=row.because)
            for row in plan.left_out
            if row.test
        ),
        quarantine=tuple(
            QuarantineRecord(
                test=row.test,
                reason=row.reason,
                issue=row.issue,
                since=row.since.isoformat(),
                expires=row.expires.isoformat(),
            )
            for test in work.quarantine
            if (row := catalog.quarantine.row(test, work.hardware_class)) is not None
        ),
        empty_shards=tuple(
            EmptyShard(suite=suite.id, shard=str(suite.shard))
            for suite in work.suites
            if not suite.tests and suite.shard is not None
        ),
    )
