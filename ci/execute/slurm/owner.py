"""Whether a run is owned by a job of Slurm, and what that says of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ci.errors import CiError, UsageError
from ci.execute.slurm.files import SlurmFiles, read_whole
from ci.slurm.client import Slurm

__all__ = ["followed_elsewhere", "job_goes_on", "job_of"]


def job_of(run: Path) -> str:
    """The job of a run by its folder; empty where it has none."""
    return str(read_whole(SlurmFiles(run=run).job).get("job", ""))


def job_goes_on(run: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Whether a run's job has not provably ended; `say` takes a line about one that ended without its last word."""
    job = job_of(run)
    if not job:
        return False
    try:
        state = Slurm(environ).job(job)
    except CiError:
        return True  # where Slurm does not answer, nothing is known
    if state is not None and not state.state.row.ended:
        return True
    if not SlurmFiles(run=run).end.exists():
        how = f"it {state.state.row.words}" if state is not None else "Slurm has forgotten it"
        say(
            f"job {job} of run {run.name} ended too early: {how}; ./inv slurm.attach {run.name} writes its reports"
        )
    return False


def followed_elsewhere(files: SlurmFiles) -> UsageError:
    """Another process writes the record of this run."""
    found = read_whole(files.follow_lock)
    return UsageError(
        f"another process follows {files.run.name}: pid {found.get('pid', '?')} on {found.get('host', '?')}",
        cause="one process writes the record of a run",
        then="watch it there, or send it SIGHUP: it lets go, and the run goes on",
    )
