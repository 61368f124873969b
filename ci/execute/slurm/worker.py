"""A worker: the executor of its node, whose agent claims the tests that it runs; its events go into a file."""

import contextlib
import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.executors import ExecutorKind
from ci.catalog.verdicts import Verdict
from ci.errors import CiError, InfrastructureError, writing
from ci.execute.executor import Executor, ExecutorModule, RunInputs, failed_event
from ci.execute.run_folder import RunFolder, read_plan
from ci.execute.slurm.files import BEAT_S, SlurmFiles, cannot_read, write_whole
from ci.execute.slurm.hello import Hello, seen_tree
from ci.execute.slurm.here import plan_here
from ci.execute.slurm.place import slurm_place, words_before_agent
from ci.execute.spec import ClaimsSpec, NodeSpec, Spec
from ci.plan.model import Plan
from ci.plan.roles import homes_of
from ci.plan.slurm_place import SlurmPlace
from ci.record import events as ev
from ci.record.event_log import RecordWriter
from ci.record.values import AttemptOutcome, EndReason
from ci.slurm.client import Slurm
from ci.system import clock
from ci.system.codec import decode, encode
from ci.system.signals import STOP_SIGNALS

__all__ = ["GO", "TIME_IS_UP", "HeadWatch", "Worker", "look_around", "node_name"]

# what the head says on standard input: all workers may begin; what ends now ends for lack of time
GO = b"go\n"
TIME_IS_UP = b"time is up\n"
_READ_BYTES = 256
# signals of one scancel reach the processes of a node within this time
_TOGETHER_S = 0.4
# a head that has not shown for so long that it lives is lost with its node
_SILENT_S = 24 * BEAT_S


def read_probe(files: SlurmFiles, environ: Mapping[str, str]) -> str:
    """What every node must be able to read.

    Raises:
        InfrastructureError: the run folder cannot be read here.
    """
    try:
        return files.probe.read_text(encoding="ascii")
    except OSError as error:
        raise InfrastructureError(
            f"node {node_name(environ)} cannot read {files.probe}: {error.strerror}",
            cause="the run folder is not on a file system that all nodes share",
            then="clusters.toml, `shared`: a folder that all nodes have; docs/slurm.md",
        ) from error


def read_spec(files: SlurmFiles) -> Spec:
    """What all workers have to do.

    Raises:
        InfrastructureError: it cannot be read here.
    """
    try:
        return decode(Spec, json.loads(files.spec.read_bytes()))
    except OSError as error:
        raise cannot_read(files.spec, error) from error


def look_around(plan: Plan, files: SlurmFiles, environ: Mapping[str, str]) -> Hello:
    """This node as a process on it sees it.

    Raises:
        InfrastructureError: the run folder cannot be read here.
    """
    return Hello(
        node=node_name(environ),
        host=platform.node(),
        time_s=clock.wall_ns() / 1e9,
        probe=read_probe(files, environ),
        tree=seen_tree(plan),
    )


def node_name(environ: Mapping[str, str]) -> str:
    """Slurm's name of this node."""
    return environ.get("SLURMD_NODENAME") or platform.node()


class Worker:
    """One worker of a run, by its number from 1."""

    def __init__(
        self,
        run: Path,
        number: str,
        environ: Mapping[str, str],
        executors: Mapping[ExecutorKind, ExecutorModule],
    ) -> None:
        self._files = SlurmFiles(run=run)
        self._folder = RunFolder(path=run, worker=number)
        self._number = number
        self._environ = environ
        self._executors = executors
        self._executor: Executor | None = None
        self._stopped = threading.Event()
        self._given_up = False
        self._ended_by_slurm = threading.Event()
        self._time_is_up = threading.Event()
        self._go = threading.Event()
        self._together_until_s: float | None = None
        self._seq = 0

    def run(self) -> None:
        """Say hello, wait for the word to begin, and run tests until none is left or the head or Slurm ends it.

        Raises:
            CiError: the run folder cannot be read or written.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        read_probe(self._files, self._environ)
        plan = read_plan(self._folder.plan)
        self._say_hello(look_around(plan, self._files, self._environ))
        threading.Thread(target=self._watch_standard_input, daemon=True).start()
        threading.Thread(target=self._watch_for_the_end, args=(slurm_place(plan),), daemon=True).start()
        catalog = load_catalog()
        spec = read_spec(self._files)
        self._go.wait()
        if self._stopped.is_set():
            with RecordWriter(self._files.events(self._number)) as record:
                self._emitter(record, plan)(ev.WorkerEnded(reason=EndReason.CANCELLED))
            return
        with RecordWriter(self._files.events(self._number)) as record:
            emit = self._emitter(record, plan)
            try:
                self._run_tests(plan, spec, catalog, emit)
            except CiError as error:
                emit(failed_event(error, stopped=self._stopped.is_set()))

    def _run_tests(self, plan: Plan, spec: Spec, catalog: Catalog, emit: Callable[[ev.Event], None]) -> None:
        """From the start of the node's executor to its end.

        Raises:
            CiError: it cannot be started, or this node lacks what the plan needs.
        """
        token, place = f"{spec.token}.{self._number}", slurm_place(plan)
        claims = ClaimsSpec(
            folder=str(self._files.queue), worker=self._number, look_s=place.limits.look_every_s
        )
        inputs = RunInputs(
            plan=plan_here(plan, catalog, self._environ),
            folder=self._folder,
            catalog=catalog,
            token=token,
            environ=self._environ,
            before_agent=words_before_agent(plan, self._files.run),
        )
        with self._executors[place.inner].open_executor(inputs) as executor:
            try:
                # ours, so that we can remove what an agent in a container leaves there
                own = self._files.claims_by(self._number)
                with writing(own):
                    own.mkdir(parents=True, exist_ok=True)
                executor.start(replace(spec, token=token, claims=claims, node=self._node(plan)))
                self._executor = executor
                if self._stopped.is_set():
                    executor.stop()
                for event in executor.events():
                    emit(event)
            finally:
                for process in executor.swept:
                    text = f"killed after the agent's end: process {process.pid} ({process.command})"
                    emit(ev.Note(text=text))

    def _node(self, plan: Plan) -> NodeSpec:
        """Which node this is for roles that are on several; for all others it is the only one."""
        if not homes_of(plan.placement.roles):
            return NodeSpec()
        start, number = divmod(int(self._number) - 1, slurm_place(plan).nodes)
        slurm = Slurm(self._environ, answer_s=slurm_place(plan).limits.answer_s)
        host = slurm.address(node_name(self._environ))
        return NodeSpec(number=number + 1, host=host, start=start)

    def _say_hello(self, hello: Hello) -> None:
        data = encode(hello)
        write_whole(self._files.hello(self._number), data)
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()

    def _emitter(self, record: RecordWriter, plan: Plan) -> Callable[[ev.Event], None]:
        """Numbers events without gaps, says whose they are, and has what ends a test on the disk before anything else."""

        def emit(event: ev.Event) -> None:
            ours = self._as_worker(event, plan)
            if ours is None or self._given_up or self._is_slurms(ours):
                return
            self._seq += 1
            time = ours.time or clock.iso(clock.utc_now())
            record.append(replace(ours, worker=self._number, seq=self._seq, time=time))
            if isinstance(ours, (ev.TestEnded, ev.TestNotRun, ev.WorkerEnded, ev.ExecutorFailed)):
                record.sync()

        return emit

    def _is_slurms(self, event: ev.Event) -> bool:
        """Whether this is only Slurm's end of the job: it sends SIGTERM to all at once, and its reason says what it means."""
        match event:
            case ev.TestEnded(outcome=AttemptOutcome.CANCELLED) | ev.TestEnded(signal="SIGTERM"):
                # it may have reached the test first; all tests that a stop ends are waited for together
                until_s = clock.monotonic_s() + _TOGETHER_S
                if self._stopped.is_set():
                    until_s = self._together_until_s = self._together_until_s or until_s
                return self._ended_by_slurm.wait(max(0.0, until_s - clock.monotonic_s()))
            case ev.TestNotRun(verdict=Verdict.CANCELLED) | ev.WorkerEnded() | ev.ExecutorFailed():
                return self._ended_by_slurm.is_set()
            case _:
                return False

    def _as_worker(self, event: ev.Event, plan: Plan) -> ev.Event | None:
        """What the agent says of itself is about this worker; the end of a suite is not its to say."""
        match event:
            case ev.AgentStarted():
                ours: ev.Event = ev.WorkerStarted(
                    node=node_name(self._environ),
                    host=event.host,
                    pid=event.pid,
                    python=event.python,
                    executable=event.executable,
                    platform=event.platform,
                    slots=plan.work.jobs,
                )
            case ev.AgentEnded():
                ours = ev.WorkerEnded(reason=event.reason, leftovers=event.leftovers)
            case ev.ExecutorFailed() if self._stopped.is_set():
                ours = ev.WorkerEnded(reason=EndReason.CANCELLED, text=event.what)
            case ev.SuiteEnded():
                return None
            case ev.TestEnded(outcome=AttemptOutcome.CANCELLED) if self._time_is_up.is_set():
                return replace(
                    event,
                    outcome=AttemptOutcome.FAILED,
                    verdict=Verdict.TIMEOUT,
                    evidence=("the time limit of the job was reached", *event.evidence),
                )
            case _:
                return event
        return replace(ours, time=event.time, elapsed_s=event.elapsed_s, by=event.by)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._ended_by_slurm.set()
        self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        self._go.set()
        if self._executor is not None:
            self._executor.stop()

    def _watch_standard_input(self) -> None:
        """The head's word to begin; its end means stop."""
        said = b""
        try:
            while data := os.read(0, _READ_BYTES):
                said += data
                if said.startswith(GO):
                    self._go.set()
                if said.endswith(TIME_IS_UP):
                    self._time_is_up.set()
        except OSError as error:
            sys.stderr.write(f"cannot read standard input: {error.strerror}\n")
        self._stop()

    def _watch_for_the_end(self, place: SlurmPlace) -> None:
        """A head that cannot reach us gives us up: another worker then runs our tests, and what we write would disturb it.

        A head that is lost itself does not end the job, and nobody may follow it: then we do.
        """
        marker, limits = self._files.given_up(self._number), place.limits
        head = HeadWatch(self._files.beat, within_s=_SILENT_S + limits.hello_s)
        while True:
            with contextlib.suppress(OSError):
                # by the folder: that a file is not there is what a client of NFS remembers
                if marker in marker.parent.iterdir():
                    self._given_up = True
                    break
            # Slurm itself puts a job back into the queue that may be
            if head.is_lost(limits.look_every_s) and not place.requeue:
                try:
                    slurm = Slurm(self._environ, answer_s=limits.answer_s)
                    slurm.cancel(self._environ.get("SLURM_JOB_ID", ""))
                    break
                except CiError as error:
                    sys.stderr.write(error.render() + "\n")
            clock.sleep_s(limits.look_every_s)
        self._stop()


class HeadWatch:
    """Whether the head still shows that it lives."""

    def __init__(self, beat: Path, *, within_s: float) -> None:
        """`within_s` is how long its file may stay as it is."""
        self._beat = beat
        self._within_s = within_s
        self._seen = ""
        self._silent_s = 0.0

    def is_lost(self, passed_s: float) -> bool:
        """Look, `passed_s` after the last look. Not by a clock: while a server does not answer, the head cannot write either."""
        try:
            seen = self._beat.read_text(encoding="ascii")
        except OSError:
            return False
        if seen != self._seen:
            self._seen, self._silent_s = seen, 0.0
        else:
            self._silent_s += passed_s
        return self._silent_s > self._within_s
