"""Whether a run is owned by a job of Slurm, and what that says of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ci.errors import CiError
from ci.execute.executor import FollowedElsewhereError
from ci.execute.slurm.files import SlurmFiles, is_there, read_whole, write_whole
from ci.slurm.client import Job, Slurm, SlurmError

__all__ = ["Jobs", "followed_elsewhere", "job_goes_on", "job_of"]

# of one question about one of many runs
_ANSWER_S = 5.0


class Jobs:
    """The jobs of runs. After a question that got no answer Slurm is not asked again: each would wait as long."""

    def __init__(self, environ: Mapping[str, str], *, answer_s: float = _ANSWER_S) -> None:
        self._slurm = Slurm(environ, answer_s=answer_s)
        self._error: SlurmError | None = None

    def find(self, run: Path) -> str:
        """The job of a run by its folder; empty where it has none.

        Where the submitter was killed before it wrote down which job it is, Slurm knows it by the run's name.

        Raises:
            SlurmError: Slurm does not answer.
            InfrastructureError: the run folder cannot be read or written.
        """
        files, job = SlurmFiles(run=run), job_of(run)
        if job or not is_there(files.spec):
            return job
        with self._once():
            job = self._slurm.named(run.name)
        if job:
            write_whole(files.job, {"job": job})
        return job

    def job(self, job_id: str) -> Job | None:
        """As `Slurm.job`.

        Raises:
            SlurmError: Slurm does not answer.
        """
        with self._once():
            return self._slurm.job(job_id)

    @contextmanager
    def _once(self) -> Iterator[None]:
        if self._error is not None:
            raise self._error
        try:
            yield
        except SlurmError as error:
            self._error = error
            raise


def job_of(run: Path) -> str:
    """The job that is written down in a run's folder; empty where none is."""
    return str(read_whole(SlurmFiles(run=run).job).get("job", ""))


def job_goes_on(run: Path, jobs: Jobs, say: Callable[[str], None]) -> bool:
    """Whether a run's job has not provably ended; `say` takes a line about one that ended without its last word."""
    try:
        job = jobs.find(run)
        if not job:
            return False
        state = jobs.job(job)
        has_end = is_there(SlurmFiles(run=run).end)
    except CiError:
        return True  # where Slurm or the file system does not answer, nothing is known
    if state is not None and not state.state.row.ended:
        return True
    if not has_end:
        how = f"it {state.state.row.words}" if state is not None else "Slurm has forgotten it"
        say(
            f"job {job} of run {run.name} ended too early: {how}; ./inv slurm.attach {run.name} writes its reports"
        )
    return False


def followed_elsewhere(files: SlurmFiles) -> FollowedElsewhereError:
    """Another process writes the record of this run."""
    found = read_whole(files.follow_lock)
    return FollowedElsewhereError(
        f"another process follows {files.run.name}: pid {found.get('pid', '?')} on {found.get('host', '?')}",
        cause="one process writes the record of a run",
        then="watch it there, or send it SIGHUP: it lets go, and the run goes on",
    )
