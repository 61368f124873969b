"""The head: the one process of the batch script. It starts the workers, gives out again what a lost one had, and says the end."""

import os
import platform
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.verdicts import Verdict
from ci.errors import CiError, ExitCode, writing
from ci.execute.executor import failed_event
from ci.execute.slurm.claims import claims_of
from ci.execute.slurm.files import BEAT_S, REPOSITORY, SlurmFiles, is_there, read_whole, write_whole
from ci.execute.slurm.hello import wrong_with
from ci.execute.slurm.ledger import Ledger, Loss
from ci.execute.slurm.merge import HEAD
from ci.execute.slurm.place import slurm_place
from ci.execute.slurm.steps import Step, Steps
from ci.execute.slurm.tail import Tail
from ci.execute.slurm.worker import GO, TIME_IS_UP, look_around, node_name
from ci.plan.model import Plan
from ci.plan.roles import homes_of
from ci.record import events as ev
from ci.record.event_log import RecordWriter
from ci.record.values import EndReason, TestName
from ci.slurm.argv import srun_argv
from ci.slurm.client import Slurm
from ci.slurm.states import JobState
from ci.system import clock
from ci.system.process import capture

__all__ = ["Head"]

_LOOK_S = 0.1
# the workers wait for this answer before they are stopped
_TIME_ANSWER_S = 1.0
# Slurm looks at time limits every 30 s
_LATE_S = 30.0
# a node that does not answer is not waited for
_SWEEP_S = 5.0
# a worker that was stopped has this long on top of its tests' own time to end
_MARGIN_S = 5.0


class Head:
    """One start of the batch script; after a requeue there is another one, which goes on."""

    def __init__(
        self, run: Path, plan: Plan, environ: Mapping[str, str], stopped: Callable[[], bool]
    ) -> None:
        """`stopped` says whether the job is to end."""
        self._files = SlurmFiles(run=run)
        self._plan = plan
        self._place = slurm_place(plan)
        self._limits = self._place.limits
        self._slurm = Slurm(environ, answer_s=self._limits.answer_s)
        self._time_is_up = False
        self._next_beat_s = self._next_look_s = 0.0
        self._beats = 0
        # of this start of the job
        self._started: list[str] = []
        self._lost: list[str] = []
        self._environ = environ
        self._stopped = stopped
        self._ledger = Ledger([(suite.id, test.id) for suite in plan.work.suites for test in suite.tests])
        self._tails: dict[str, Tail] = {}
        self._nodes: dict[str, str] = {}
        # workers that are given up, with the moment from which their tests may be given out again
        self._given_up: dict[str, tuple[float, str]] = {}
        self._seq = 0
        self._record: RecordWriter | None = None

    def run(self) -> int:
        """Work through the run; the batch script's exit code.

        Raises:
            InfrastructureError: the run folder cannot be read or written.
        """
        files = self._files
        if is_there(files.withdrawn):
            sys.stderr.write(
                f"nothing is run: sbatch brought no answer, and {files.run.name} has ended without this job\n"
            )
            return int(ExitCode.INFRASTRUCTURE)
        with writing(files.end):
            files.end.unlink(missing_ok=True)
            files.closed.unlink(missing_ok=True)
            noted = files.job.exists()
        if not noted:
            # the submitter ended between sbatch and its own note
            write_whole(files.job, {"job": self._environ.get("SLURM_JOB_ID", "")})
        self._read_own()
        code = ExitCode.OK
        with RecordWriter(files.head_events) as record:
            self._record = record
            try:
                with Steps(files) as steps:
                    self._work(steps)
                end = self._how_it_ended()
            except CiError as error:
                end = failed_event(error, stopped=self._stopped())
                sys.stderr.write(error.render() + "\n")
                code = error.exit_code
            if end is not None:
                self._emit(end)
            record.sync()
        write_whole(files.end, {"type": end.type if end is not None else "", "exit_code": int(code)})
        return int(code)

    def _work(self, steps: Steps) -> None:
        self._beat()
        # a start of the job has whole `nodes` of numbers, also one that ended while it started them
        first = -(-max(map(int, self._files.workers), default=0) // self._place.nodes) * self._place.nodes
        self._look_back()
        nodes = self._slurm.hostnames(self._environ.get("SLURM_JOB_NODELIST", ""))
        for number, node in enumerate(nodes, start=first + 1):
            self._nodes[str(number)] = node
            self._started.append(str(number))
            steps.start(str(number), self._argv(node, str(number)), self._environ)
        mine = look_around(self._plan, self._files, self._environ)
        greetings = steps.greetings(within_s=self._limits.hello_s, stopped=self._stopped)
        wrong = wrong_with(greetings, mine, self._files, skew_s=self._limits.skew_s)
        if wrong is not None:
            raise wrong
        self._emit(
            ev.AgentStarted(
                pid=os.getpid(),
                python=self._plan.placement.python_version,
                executable=self._plan.placement.python,
                platform=platform.platform(),
                host=mine.host,
            )
        )
        for step in steps:
            step.say(GO)
        self._follow(steps)
        self._sweep()

    def _read_own(self) -> None:
        """What earlier starts of the job have said themselves, so that nothing is said twice."""
        for event in Tail(self._files.head_events).events():
            self._seq += 1
            # why an earlier start failed does not say why this one does
            if not isinstance(event, ev.ExecutorFailed):
                self._ledger.take(HEAD, event)

    def _look_back(self) -> None:
        """After a requeue: what earlier workers have settled stays so, what they had begun is given out again."""
        for number in self._files.workers:
            self._tails[number] = Tail(self._files.events(number))
            self._nodes[number] = str(read_whole(self._files.hello(number)).get("node", ""))
            self._read(number)
        for number in list(self._tails):
            if number not in self._ledger.ended or self._holds_claims(number):
                self._give_up(number, "the job was started again")

    def _follow(self, steps: Steps) -> None:
        """Until every worker has ended."""
        open_steps, kill_at_s, settled, closed = list(steps), None, False, False
        while open_steps or (self._given_up and not self._stopped()):
            self._beat()
            self._look_for_late_claims()
            for number, (moment_s, because) in list(self._given_up.items()):
                self._read(number)
                if clock.monotonic_s() >= moment_s:
                    del self._given_up[number]
                    self._lose(number, because)
            for step in list(open_steps):
                # looked at before its events are read: all that it has written is there then
                ended = step.exit_code is not None
                self._read(step.number)
                if ended:
                    open_steps.remove(step)
                    self._end(step)
            # twice: the retry of a test comes behind its end
            if settled and not closed and not self._ledger.unsettled:
                with writing(self._files.closed):
                    self._files.closed.touch()
                closed = True
            settled = not self._ledger.unsettled
            if self._stopped():
                if kill_at_s is None:
                    kill_at_s = clock.monotonic_s() + self._plan.work.limits.agent.stop_s + _MARGIN_S
                    self._time_is_up = self._is_time_up()
                    for step in steps:
                        if self._time_is_up:
                            step.say(TIME_IS_UP)
                        step.stop()
                elif clock.monotonic_s() > kill_at_s:
                    for step in open_steps:
                        step.kill()
            clock.sleep_s(_LOOK_S)

    def _beat(self) -> None:
        """Show that we live to whoever follows the run."""
        if clock.monotonic_s() >= self._next_beat_s:
            self._next_beat_s = clock.monotonic_s() + BEAT_S
            self._beats += 1
            with writing(self._files.beat):
                self._files.beat.write_text(f"{node_name(self._environ)}\n{self._beats}\n", encoding="ascii")

    def _look_for_late_claims(self) -> None:
        """The last claim of a lost worker may reach the server after its end."""
        if self._lost and clock.monotonic_s() >= self._next_look_s:
            self._next_look_s = clock.monotonic_s() + self._limits.look_every_s
            for number in self._lost:
                self._give_again(number)

    def _is_time_up(self) -> bool:
        """Whether it is for the job's time limit that Slurm has sent a signal."""
        try:
            slurm = Slurm(self._environ, answer_s=_TIME_ANSWER_S)
            job = slurm.job(self._environ.get("SLURM_JOB_ID", ""))
        except CiError:
            return False
        if job is None or job.ends_s is None or job.state is not JobState.RUNNING:
            return False
        return job.ends_s - clock.utc_now().timestamp() < self._limits.stop_before_s + _LATE_S

    def _sweep(self) -> None:
        """End what lost workers have left on nodes that are still there."""
        token = str(read_whole(self._files.spec).get("token", ""))
        for number in self._lost:
            if self._stopped():
                return
            own = [sys.executable, "-m", "ci", "slurm_sweep", f"{token}.{number}"]
            argv = srun_argv(self._place, own, node=self._nodes[number])
            done = capture(argv, timeout_s=_SWEEP_S, cwd=REPOSITORY, env=self._environ)
            for line in done.text.splitlines():
                self._emit(
                    ev.Note(
                        text=f"ended on node {self._nodes[number]} after its worker was lost: process {line}"
                    )
                )

    def _end(self, step: Step) -> None:
        """A step is over: its worker has said so, or is lost."""
        if self._stopped():
            return
        if step.number in self._ledger.ended and not self._holds_claims(step.number):
            return
        failure = self._ledger.failures.get(step.number)
        self._give_up(step.number, failure.what if failure is not None else step.last_words())

    def _holds_claims(self, number: str) -> bool:
        """Whether a worker has claimed what it never settled: the folder failed while it made a claim."""
        return self._ledger.has_open(claims_of(self._files, number))

    def _give_up(self, number: str, because: str) -> None:
        """Have a worker end that may still run: srun ends when Slurm does not hear of a node, and what runs there runs on."""
        marker = self._files.given_up(number)
        with writing(marker):
            marker.touch()
        self._given_up[number] = (clock.monotonic_s() + 2 * self._limits.look_every_s, because)

    def _lose(self, number: str, because: str) -> None:
        if number in self._started:
            self._lost.append(number)
        loss = self._ledger.lose(number, claims_of(self._files, number))
        tests = [self._ledger.tests[place] for place in loss.again]
        # the record first: whoever takes a test again comes behind it
        self._emit(
            ev.WorkerLost(
                worker=number,
                node=self._nodes.get(number, ""),
                because=because,
                tests=tuple(TestName(suite=suite, test=test) for suite, test in tests),
            )
        )
        self._give_out(loss, number, self._end_roles_of(number))

    def _give_again(self, number: str) -> None:
        self._give_out(self._ledger.lose(number, claims_of(self._files, number)), number)

    def _give_out(self, loss: Loss, number: str, not_run: Collection[str] = ()) -> None:
        """Let other workers claim what is given out again, and say what is not; `not_run` are suites that no other can run."""
        for place in loss.given_up:
            suite, test = self._ledger.tests[place]
            why = f"two workers were lost while they had it, the second on node {self._nodes.get(number, '')}"
            self._emit(ev.TestNotRun(suite=suite, test=test, verdict=Verdict.INFRA, because=why))
        for place in loss.again:
            if self._ledger.tests[place][0] in not_run:
                continue
            marker = self._files.again(place)
            with writing(marker):
                marker.touch()

    def _end_roles_of(self, number: str) -> Collection[str]:
        """Tell the agents of roles that a node is lost; the suites whose tests no other node can run, which are not run."""
        homes = homes_of(self._plan.placement.roles)
        if not homes or number not in self._started:
            return ()
        start, before = divmod(int(number) - 1, self._place.nodes)
        files, node = self._files, before + 1
        elsewhere = {suite for suite, home in homes.items() if home == node}
        with writing(files.meetings(start)):
            files.meetings(start).mkdir(parents=True, exist_ok=True)
            files.lost(start, node).touch()
            if elsewhere:
                files.settled(start).touch()
        because = f"node {self._nodes.get(number, '')}, beside whose router it runs, was lost"
        for suite, test in self._ledger.unsettled:
            if suite in elsewhere:
                event = ev.TestNotRun(suite=suite, test=test, verdict=Verdict.INFRA, because=because)
                self._emit(event)
                self._ledger.take(HEAD, event)
        return elsewhere

    def _how_it_ended(self) -> ev.AgentEnded | ev.ExecutorFailed | None:
        """Why the workers ended; the tests that none of them has claimed are not run for the same reason.

        None where Slurm ends the job: its state says why.
        """
        ledger = self._ledger
        gone = {*ledger.ended, *self._lost, *self._given_up}
        if self._stopped() and not gone.issuperset(self._started):
            return None
        reasons = {ended.reason for ended in ledger.ended.values()}
        verdict = Verdict.CANCELLED
        if self._time_is_up:
            reason, verdict = EndReason.DONE, Verdict.TIMEOUT
            because = f"the time limit of the job, {self._place.time_limit_min} min, was reached before this test began"
        elif self._stopped():
            reason, because = EndReason.CANCELLED, "stopped: interrupted"
        elif EndReason.FAIL_FAST in reasons:
            reason, because = EndReason.FAIL_FAST, f"fail-fast: {ledger.failed_by}"
        elif ledger.unsettled:
            return self._no_worker_left()
        else:
            return ev.AgentEnded(reason=EndReason.DONE)
        for suite, test in ledger.unsettled:
            self._emit(ev.TestNotRun(suite=suite, test=test, verdict=verdict, because=because))
        return ev.AgentEnded(reason=reason)

    def _no_worker_left(self) -> ev.ExecutorFailed:
        """What the first worker said that failed, else how many tests are left."""
        for failure in self._ledger.failures.values():
            return ev.ExecutorFailed(
                what=failure.what,
                cause=failure.cause,
                then=failure.then,
                problems=failure.problems,
                verdict=failure.verdict,
            )
        return ev.ExecutorFailed(
            what=f"{len(self._ledger.unsettled)} tests were not run: no worker is left for them",
            cause="every worker was lost; the record says why",
            then=f"read {self._files.folder}/workers/*/srun.log",
        )

    def _read(self, number: str) -> None:
        tail = self._tails.setdefault(number, Tail(self._files.events(number)))
        for event in tail.events():
            self._ledger.take(number, event)

    def _argv(self, node: str, number: str) -> list[str]:
        own = [sys.executable, "-m", "ci", "slurm_worker", str(self._files.run), number]
        return srun_argv(self._place, own, node=node)

    def _emit(self, event: ev.Event) -> None:
        assert self._record is not None  # noqa: S101 - opened by `run`
        self._seq += 1
        time = clock.iso(clock.utc_now())
        self._record.append(replace(event, worker=event.worker or HEAD, seq=self._seq, time=time))
