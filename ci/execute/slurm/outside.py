"""Runs of Slurm seen by who does not follow them: how far each is, and how one is ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.errors import CiError
from ci.execute.run_folder import read_plan
from ci.execute.slurm.files import SlurmFiles, is_there
from ci.execute.slurm.merge import Merge
from ci.execute.slurm.owner import Jobs
from ci.execute.slurm.place import slurm_place
from ci.execute.slurm.tail import Tail
from ci.plan.model import Plan
from ci.slurm.client import Slurm, SlurmError
from ci.system import clock

__all__ = ["RunRow", "end_job", "run_rows"]

# on top of the tests' own time to end
_MARGIN_S = 2.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run with a job: the job's state in words, and how many of its tests are done; 0 of 0 where that cannot be read."""

    run: str
    job: str
    state: str
    done: int
    total: int


def run_rows(runs: Path, environ: Mapping[str, str]) -> tuple[RunRow, ...]:
    """The runs with a job in a folder of runs, the newest first."""
    folders = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    jobs = Jobs(environ)
    return tuple(_row(jobs, run, job) for run in folders if (job := _job_of(jobs, run)))


def end_job(plan: Plan, job: str, environ: Mapping[str, str]) -> bool:
    """Have the tests of a job end, then the job; False for one that has ended already.

    Raises:
        SlurmError: Slurm does not answer.
    """
    slurm = Slurm(environ, answer_s=slurm_place(plan).limits.answer_s)
    state = slurm.job(job)
    if state is None or state.state.row.ended:
        return False
    if state.state.row.begun:
        slurm.cancel(job, signal="TERM", batch=True)
        give_up_s = clock.monotonic_s() + plan.work.limits.agent.stop_s + _MARGIN_S
        while clock.monotonic_s() < give_up_s and _goes_on(slurm, job):
            clock.sleep_s(_POLL_S)
    slurm.cancel(job)
    return True


def _goes_on(slurm: Slurm, job: str) -> bool:
    try:
        state = slurm.job(job)
    except SlurmError:
        return True  # nothing is known
    return state is not None and not state.state.row.ended


def _job_of(jobs: Jobs, run: Path) -> str:
    try:
        return jobs.find(run)
    except CiError:
        return ""


def _row(jobs: Jobs, run: Path, job: str) -> RunRow:
    try:
        done, total = _progress(run)
    except CiError:
        done = total = 0
    return RunRow(run=run.name, job=job, state=_state(jobs, run, job), done=done, total=total)


def _state(jobs: Jobs, run: Path, job: str) -> str:
    try:
        state, has_end = jobs.job(job), is_there(SlurmFiles(run=run).end)
    except CiError as error:
        return f"unknown: {error.what}"
    if state is not None:
        return f"{state.state}{f' ({state.reason})' if state.reason else ''}"
    return "ended" if has_end else "forgotten by Slurm, ended without its last word"


def _progress(run: Path) -> tuple[int, int]:
    """The tests of a run that are done, by all that its workers have written, and all of them."""
    plan, files = read_plan(run), SlurmFiles(run=run)
    merge = Merge({suite.id: [test.id for test in suite.tests] for suite in plan.work.suites})
    for number in files.workers:
        for event in Tail(files.events(number)).events():
            for _ in merge.take(number, event):
                pass
    return plan.work.tests - len(merge.missing), plan.work.tests
