"""One job of Slurm as its run sees it: submitted, looked at, ended. Slurm may be silent for a while, and the run goes on."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ci.catalog.verdicts import Verdict
from ci.execute.run_folder import RunFolder
from ci.execute.slurm.files import BEAT_S, REPOSITORY, SlurmFiles, write_whole
from ci.execute.slurm.owner import job_of
from ci.execute.slurm.place import slurm_place
from ci.plan.model import Plan
from ci.record import events as ev
from ci.slurm.argv import sbatch_argv
from ci.slurm.client import Job, Slurm, SlurmError
from ci.slurm.states import JobState
from ci.system import clock

__all__ = ["SlurmJob"]

# what our own programs need on the nodes, besides what the tests get
_NEEDED = (
    "PATH", "HOME", "USER", "SLURM_CONF", "AMD_CI_CACHE", "XDG_CACHE_HOME", "DOCKER_CONFIG", "LD_LIBRARY_PATH",
)  # fmt: skip
# a job often gets its nodes at once: so long it is looked at as often as its events
_EAGER_S = 10.0
# a program that looks again soon need not wait longer for an answer
_ANSWER_S = 5.0
# a head that has not shown for so long that it lives is lost, if its node is
_SILENT_S = 4 * BEAT_S
_GONE = ("down", "fail", "powered_down", "powering_down", "unknown")
# with these the exit code of the head says how it ended
_HEAD_ENDED = (JobState.COMPLETED, JobState.FAILED)


class SlurmJob:
    """The job of a run; `id` is empty before it is submitted."""

    def __init__(self, plan: Plan, folder: RunFolder, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._place = slurm_place(plan)
        self._limits = self._place.limits
        self._folder = folder
        self._files = SlurmFiles(run=folder.path)
        self._environ = environ
        self._slurm = Slurm(
            environ,
            answer_s=min(_ANSWER_S, self._limits.answer_s),
            row=f"clusters.toml: cluster[{self._place.cluster}]",
        )
        self._seen: Job | None = None
        self._forgotten = False
        self._silent = False
        self._began_s = self._asked_s = -_EAGER_S
        self._beat = ""
        self._beat_s = clock.monotonic_s()
        self._head_node = ""
        self.lost_head = ""
        self.id = job_of(folder.path)

    # ---- what is known

    @property
    def begun(self) -> bool:
        """Whether it has its nodes, or has had them."""
        return self._forgotten or (self._seen is not None and self._seen.state.row.begun)

    @property
    def ended(self) -> bool:
        """Whether it is over for good."""
        return self._forgotten or (self._seen is not None and self._seen.state.row.ended)

    @property
    def words(self) -> str:
        """What it does, or how it ended."""
        if self._forgotten:
            return "Slurm has forgotten it"
        return f"it {self._seen.state.row.words}" if self._seen is not None else "Slurm has not said anything"

    @property
    def was_taken(self) -> bool:
        """Whether Slurm took it away from its head, for a reason of its own."""
        if self._seen is None or self._seen.state in _HEAD_ENDED:
            return False
        return self._seen.state.row.verdict not in (None, Verdict.CANCELLED)

    def failure(self, *, stopped: bool) -> ev.ExecutorFailed:
        """Why it has ended before its run."""
        log = self._files.batch_log
        then = f"read {log}" if _size(log) else f"scontrol show job {self.id}; sinfo --Node --long"
        if self.lost_head:
            return ev.ExecutorFailed(
                what=f"job {self.id} has lost its head: {self.lost_head}",
                cause="the node failed, or its slurmd does not answer",
                then="sinfo --list-reasons",
                verdict=Verdict.CANCELLED if stopped else Verdict.INFRA,
            )
        if self._seen is None or self._forgotten:
            return ev.ExecutorFailed(
                what=f"job {self.id} is over, and its head has not said how the run ended",
                cause="Slurm has forgotten it: it ended longer than MinJobAge ago, or slurmctld lost what it knew",
                then=then,
                verdict=Verdict.CANCELLED if stopped else Verdict.INFRA,
            )
        state, verdict = self._seen.state, self._seen.state.row.verdict or Verdict.INFRA
        return ev.ExecutorFailed(
            what=f"job {self.id} ended before its run: it {state.row.words}",
            cause=f"Slurm: {state}, reason {self._seen.reason or 'none'}, exit code"
            f" {self._seen.exit_code}:{self._seen.signal}{self._last_logged()}",
            then=then,
            verdict=Verdict.CANCELLED if stopped else verdict,
        )

    # ---- what is done

    def submit(self, token: str) -> None:
        """Submit it, and write down which it is.

        Raises:
            SlurmError: Slurm refused it.
            InfrastructureError: the run folder cannot be written.
        """
        words = (sys.executable, "-m", "ci", "slurm_head", str(self._folder.path))
        log = str(self._files.batch_log)
        argv = sbatch_argv(self._place, words, name=self._folder.name, token=token, log=log)
        slurm = Slurm(
            self._environ,
            answer_s=self._limits.answer_s,
            row=f"clusters.toml: cluster[{self._place.cluster}]",
        )
        try:
            self.id = slurm.submit(argv, cwd=REPOSITORY, environ=self._job_environ())
        except SlurmError as error:
            self._take_back(slurm, error)
            raise
        self._began_s = clock.monotonic_s()
        write_whole(
            self._files.job,
            {
                "job": self.id,
                "cluster": self._place.cluster,
                "submitted": clock.iso(clock.utc_now()),
                "nodes": self._place.nodes,
            },
        )

    def _take_back(self, slurm: Slurm, error: SlurmError) -> None:
        """A controller may have taken a job though `sbatch` brought no answer of it, or may take it later: only the name is known then.

        Raises:
            SlurmError: it cannot be cancelled either; how to do it by hand is the next command.
        """
        with suppress(OSError):  # a full folder ends the job too, by its first write
            self._files.withdrawn.touch()
        try:
            slurm.cancel_named(self._folder.name)
        except SlurmError:
            then = f"scancel --name={self._folder.name}; {error.then}"
            raise SlurmError(error.what, cause=error.cause, then=then) from error

    def look(self, *, now: bool = False) -> Iterator[ev.Event]:
        """Ask for its state when it is time, or `now`; a change is an event."""
        moment_s = clock.monotonic_s()
        eager = not self.begun and moment_s < self._began_s + _EAGER_S
        if not (now or eager) and moment_s < self._asked_s + self._limits.state_every_s:
            return
        self._asked_s = moment_s
        try:
            seen = self._slurm.job(self.id) or self._accounted()
            nodes = self._slurm.hostnames(seen.nodes) if seen is not None and seen.nodes else ()
            self._watch_head(seen)
        except SlurmError as error:
            if not self._silent:
                self._silent = True
                yield ev.Note(text=f"Slurm does not answer, the run goes on: {error.what}: {error.cause}")
            return
        if self._silent:
            self._silent = False
            yield ev.Note(text="Slurm answers again")
        before, self._seen = self._seen, seen or self._seen
        self._forgotten = seen is None
        if seen is not None and (
            before is None or (seen.state, seen.reason) != (before.state, before.reason)
        ):
            yield ev.Job(
                job=self.id, cluster=self._place.cluster, state=seen.state, reason=seen.reason, nodes=nodes
            )

    def _accounted(self) -> Job | None:
        """How a job ended that the controller has forgotten. It is over, also where the accounting does not say so."""
        if not self._place.accounting:
            return None
        with suppress(SlurmError):
            job = self._slurm.accounted(self.id)
            return job if job is not None and job.state.row.ended else None
        return None

    def _watch_head(self, job: Job | None) -> None:
        """Slurm does not end a job that goes on without a node, not even without that of its batch script."""
        try:
            beat = self._files.beat.read_text(encoding="ascii")
        except OSError:
            beat = ""  # the head has not begun, or the file system does not answer
        moment_s, runs = clock.monotonic_s(), job is not None and job.state is JobState.RUNNING
        if (beat and beat != self._beat) or not runs:
            self._beat, self._beat_s = beat or self._beat, moment_s
        if job is not None and job.batch_node:
            self._head_node = job.batch_node
        # a job that is put back into the queue gets a new head
        if self._place.requeue or not self._head_node or moment_s < self._beat_s + _SILENT_S:
            return
        state = self._slurm.node(self._head_node)
        if state.startswith(_GONE):
            self.lost_head = f"node {self._head_node} is {state}"

    def stop_head(self) -> None:
        """Have the head end the tests.

        Raises:
            SlurmError: Slurm does not answer.
        """
        self._slurm.cancel(self.id, signal="TERM", batch=True)

    def cancel(self) -> None:
        """Have Slurm end it.

        Raises:
            SlurmError: Slurm does not answer; how to do it by hand is the next command.
        """
        self._slurm.cancel(self.id)

    def _job_environ(self) -> dict[str, str]:
        """What head and workers get of the caller's: no option of Slurm by a variable, and no secret but the tests' own."""
        own = [name for name in self._plan.placement.pass_through if not name.startswith("SLURM_")]
        return {name: self._environ[name] for name in (*own, *_NEEDED) if name in self._environ}

    def _last_logged(self) -> str:
        """What the batch script printed last; where it did not even begin, what is likely."""
        node = f"node {self._head_node}" if self._head_node else "its first node"
        try:
            lines = self._files.batch_log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        said = f"; its log ends: {lines[-1].strip()}" if lines else ""
        if _size(self._files.head_events):
            return said
        shared = (
            f"{REPOSITORY} must be there, and {self._folder.path} be writable: folders that all nodes share"
        )
        # as Slurm has it, one that could not be started was killed too
        killed = (
            " or was killed at once" if self._seen is not None and self._seen.signal == signal.SIGKILL else ""
        )
        return f"{said}; its batch script did not begin on {node}{killed}: {shared}"


def _size(path: Path) -> int:
    """In bytes; 0 where it cannot be seen."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
