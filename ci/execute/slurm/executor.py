"""The Slurm executor: submits one job, and makes one record of what its workers write. The job outlives this process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from ci.errors import CiError, writing
from ci.execute.executor import Executor, RunInputs, failed_event
from ci.execute.process_sweep import Found
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.job import SlurmJob
from ci.execute.slurm.merge import HEAD, Merge
from ci.execute.slurm.owner import followed_elsewhere
from ci.execute.slurm.place import slurm_place
from ci.execute.slurm.tail import Tail
from ci.execute.spec import Spec, write_spec
from ci.record import events as ev
from ci.record.event_log import read_events
from ci.record.phases import Phases
from ci.slurm.client import SlurmError
from ci.system import clock
from ci.system.file_lock import FileLock

__all__ = ["SlurmExecutor", "open_executor"]

# on top of the tests' own time to end: head and workers say the end; together with the next one below the 8 s that Nox gives
_SAY_S = 1.5
# for Slurm to take a job away
_CANCEL_S = 1.5
# from the head's last word to Slurm's
_END_S = 10.0


def open_executor(run: RunInputs) -> Executor:
    """The executor of a run in an allocation of Slurm."""
    return SlurmExecutor(run)


class SlurmExecutor:
    """One job of Slurm. Use as a context manager: the job ends with it, unless it was asked to let go of it."""

    swept: tuple[Found, ...] = ()

    def __init__(self, run: RunInputs) -> None:
        self._plan = run.plan
        self._place = slurm_place(run.plan)
        self._files = SlurmFiles(run=run.folder.path)
        self._limits = self._place.limits
        self._job = SlurmJob(run.plan, run.folder, run.environ)
        self._token = run.token
        self._run = run.folder
        self._said: list[ev.Event] = []
        self._phases = Phases(self._said.append, run.folder.logs)
        self._merge = Merge(
            {suite.id: [test.id for test in suite.tests] for suite in run.plan.work.suites if suite.tests}
        )
        self._tails: dict[str, Tail] = {}
        self._head = Tail(self._files.head_events)
        self._lock = FileLock()
        self._over = False
        self._detached = False
        self._not_ended = False
        # what was asked of us, and what we have asked of head and Slurm
        self._stopped = self._at_once = False
        self._head_stopped = self._cancelled = False
        self._stop_at_s: float | None = None
        self._head_ended_s: float | None = None

    # ---- what a run calls

    def start(self, spec: Spec) -> None:
        """Write what head and workers read; for a job that is there already, go on behind its record.

        Raises:
            InfrastructureError: the run folder cannot be written.
            FollowedElsewhereError: another process follows it.
        """
        files = self._files
        self._follow_alone()
        if self._job.id:
            self._merge.resume(read_events(self._run.events))
            return
        with writing(files.folder):
            for folder in (files.all_workers, files.claims, files.given_again):
                folder.mkdir(parents=True, exist_ok=True)
            files.head_events.touch()
            with files.probe.open("w", encoding="ascii") as file:
                file.write(clock.new_token())
                file.flush()
                os.fsync(file.fileno())
        write_spec(files.spec, spec)

    @property
    def stop_s(self) -> float:
        return self._plan.work.limits.agent.stop_s + _SAY_S + _CANCEL_S

    def stop(self, *, at_once: bool = False) -> None:
        """Have the tests ended, and the job after them; `at_once`: have Slurm end it."""
        self._stopped = True
        self._at_once = self._at_once or at_once

    @property
    def goes_on(self) -> bool:
        """Whether the job may run on: it was let go, is followed by another process, or could not be cancelled."""
        return self._detached or self._not_ended

    def detach(self) -> str:
        """Let go of the job; what goes on, in words."""
        if not self._job.id:
            return ""
        self._detached = True
        return f"the run goes on as job {self._job.id}: ./inv slurm.attach {self._run.name}"

    def events(self) -> Iterator[ev.Event]:
        """What becomes of the job, and all that its workers say."""
        try:
            if not self._job.id:
                yield from self._submit()
            yield from self._wait_for_nodes()
            yield from self._follow()
        except CiError as error:
            if self._detached:
                return
            yield from self._new()
            with suppress(CiError):
                yield from self._read()
            yield from self._fail(failed_event(error, stopped=self._stopped))

    def close(self) -> None:
        """End the job, unless it has ended, was let go, or is followed by another process.

        Raises:
            SlurmError: Slurm does not answer: the job may run on.
        """
        try:
            if self._job.id and self._lock.taken and not self._over and not self._detached:
                self._over = self._not_ended = True
                self._job.cancel()
                self._not_ended = False
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow_alone(self) -> None:
        """Refuse to write a record that another process writes.

        Raises:
            FollowedElsewhereError: there is one.
        """
        with writing(self._files.folder):
            self._files.folder.mkdir(exist_ok=True)
        if not self._lock.take(self._files.follow_lock, {"host": self._plan.placement.host}):
            self._detached = True
            raise followed_elsewhere(self._files)

    # ---- the job

    def _submit(self) -> Iterator[ev.Event]:
        with self._phases.phase("submit", f"cluster {self._place.cluster}") as phase:
            yield from self._new()
            self._job.submit(self._token)
            phase.text = f"job {self._job.id}, {self._place.nodes} nodes"
        yield from self._new()

    def _wait_for_nodes(self) -> Iterator[ev.Event]:
        """Until the job has its nodes, or has ended."""
        with self._phases.phase("queue", f"waiting for {self._place.nodes} nodes") as phase:
            yield from self._new()
            while True:
                yield from self._job.look()
                if self._job.begun or self._job.ended or self._detached:
                    break
                self._act_on_stop()
                clock.sleep_s(self._limits.follow_every_s)
            phase.text = f"job {self._job.id}: {self._job.words}"
        yield from self._new()

    def _follow(self) -> Iterator[ev.Event]:
        """All that head and workers write, until the job has ended."""
        while not self._detached:
            # looked at before the files: what the job has written before its end is in them then
            yield from self._job.look(now=self._head_ended_s is not None)
            ended, moment_s = self._job.ended, clock.monotonic_s()
            yield from self._read()
            if not self._merge.head_ended:
                self._head_ended_s = None
            elif self._head_ended_s is None:
                self._head_ended_s = moment_s
            if ended or self._job.lost_head or self._is_overdue(moment_s):
                break
            self._act_on_stop()
            clock.sleep_s(self._limits.follow_every_s)
        if not self._detached:
            self._over = self._job.ended
            yield from self._end()

    def _is_overdue(self, moment_s: float) -> bool:
        """Whether Slurm takes too long to see the end: it was asked to end the job, or the head has said its last word."""
        if self._stop_at_s is not None and self._cancelled:
            return moment_s > self._stop_at_s + _CANCEL_S
        if self._place.requeue or self._head_ended_s is None:
            return False
        return moment_s > self._head_ended_s + _END_S

    def _end(self) -> Iterator[ev.Event]:
        """What the record does not have yet."""
        said = self._merge.head_ended and not (self._job.was_taken and self._merge.was_cancelled)
        if said:
            yield from self._merge.finish()
            return
        yield from self._fail(self._job.failure(stopped=self._stopped))

    def _fail(self, failure: ev.ExecutorFailed) -> Iterator[ev.Event]:
        because = ": ".join(filter(None, (failure.what, failure.cause)))
        yield from self._merge.finish(failure=failure, verdict=failure.verdict, because=because)

    def _act_on_stop(self) -> None:
        """Have the tests end first, and the job when that takes too long; a job that has not begun is taken back."""
        if not self._stopped:
            return
        moment_s = clock.monotonic_s()
        if self._stop_at_s is None:
            self._stop_at_s = moment_s + self._plan.work.limits.agent.stop_s + _SAY_S
        if self._job.begun and not (self._head_stopped or self._cancelled):
            # without an answer again at the next turn, until it is time to cancel
            with suppress(SlurmError):
                self._job.stop_head()
                self._head_stopped = True
        if not self._cancelled and (not self._job.begun or self._at_once or moment_s > self._stop_at_s):
            self._cancelled, self._stop_at_s = True, min(self._stop_at_s, moment_s)
            self._job.cancel()

    # ---- the record

    def _read(self) -> Iterator[ev.Event]:
        """What is new in the files. A worker's own events come before the news that it is lost."""
        for event in self._head.events():
            if isinstance(event, ev.WorkerLost):
                yield from self._read_worker(event.worker)
            yield from self._merge.take(HEAD, event)
        for number in self._files.workers:
            yield from self._read_worker(number)

    def _read_worker(self, number: str) -> Iterator[ev.Event]:
        tail = self._tails.setdefault(number, Tail(self._files.events(number)))
        for event in tail.events():
            yield from self._merge.take(number, event)

    def _new(self) -> Iterator[ev.Event]:
        """The events of phases so far."""
        while self._said:
            yield self._said.pop(0)
