"""`./inv slurm.attach|list|cancel`: runs whose jobs Slurm has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.catalog import load_catalog
from ci.cli.run import new_run
from ci.errors import CiError, UsageError
from ci.execute.run_folder import RunFolder, find_folder, read_plan
from ci.execute.slurm.files import SlurmFiles, read_whole
from ci.execute.slurm.merge import Merge
from ci.execute.slurm.owner import Jobs, followed_elsewhere
from ci.execute.slurm.place import slurm_place
from ci.execute.slurm.tail import Tail
from ci.facts.gather import runs_dir
from ci.plan.model import Plan
from ci.record.event_log import read_events
from ci.record.events import RunEnded
from ci.report.console import new_table, open_console, print_json, say
from ci.slurm.client import Slurm, SlurmError
from ci.system import clock
from ci.system.file_lock import FileLock

__all__ = ["attach_verb", "cancel_verb", "list_verb"]

# on top of the tests' own time to end
_MARGIN_S = 2.0
_POLL_S = 0.2


def attach_verb(environ: Mapping[str, str], name: str) -> int:
    """Follow a run to its end; returns its exit code.

    Raises:
        UsageError: the run is unknown, has no job, has ended, or is followed by another process.
    """
    folder, plan, job = _found(environ, name)
    files, lock = SlurmFiles(run=folder.path), FileLock()
    if not lock.take(files.follow_lock):
        raise followed_elsewhere(files)
    lock.release()
    for event in read_events(folder.events):
        if isinstance(event, RunEnded):
            raise UsageError(
                f"{folder.name} has ended with exit code {event.exit_code}",
                cause=f"its job {job} is over and its reports are written",
                then=f"read {folder.path / 'summary.md'}",
            )
    token = str(read_whole(files.spec).get("token", ""))
    return new_run(load_catalog(), plan, environ, json=False, token=token).go_on(folder)


def cancel_verb(environ: Mapping[str, str], name: str) -> None:
    """Have the tests of a run end, then its job.

    Raises:
        UsageError: the run is unknown, or has no job.
        InfrastructureError: Slurm does not answer.
    """
    folder, plan, job = _found(environ, name)
    slurm = Slurm(environ, answer_s=slurm_place(plan).limits.answer_s)
    state = slurm.job(job)
    if state is None or state.state.row.ended:
        say(f"job {job} of {folder.name} has ended already")
        return
    if state.state.row.begun:
        slurm.cancel(job, signal="TERM", batch=True)
        give_up_s = clock.monotonic_s() + plan.work.limits.agent.stop_s + _MARGIN_S
        while clock.monotonic_s() < give_up_s and _goes_on(slurm, job):
            clock.sleep_s(_POLL_S)
    slurm.cancel(job)
    say(f"job {job} of {folder.name} is cancelled")
    lock = FileLock()
    if lock.take(SlurmFiles(run=folder.path).follow_lock):
        lock.release()
        say(f"nobody follows it: ./inv slurm.attach {folder.name} writes its reports")


def list_verb(environ: Mapping[str, str], *, as_json: bool) -> None:
    """Show the runs with a job, the newest first."""
    runs = runs_dir(environ)
    folders = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    jobs = Jobs(environ)
    rows = [_row(jobs, RunFolder(path=path), job) for path in folders if (job := _job_of(jobs, path))]
    if as_json:
        print_json(
            [
                {"run": row.run, "job": row.job, "state": row.state, "done": row.done, "total": row.total}
                for row in rows
            ]
        )
        return
    table = new_table("run", "job", "state", "tests done")
    for row in rows:
        table.add_row(row.run, row.job, row.state, f"{row.done}/{row.total}")
    open_console(environ).print(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    run: str
    job: str
    state: str
    done: int
    total: int


def _job_of(jobs: Jobs, run: Path) -> str:
    try:
        return jobs.find(run)
    except CiError:
        return ""


def _row(jobs: Jobs, folder: RunFolder, job: str) -> _Row:
    try:
        plan = read_plan(folder.path)
        merge = _read(plan, folder.path)
        done, total = plan.work.tests - len(merge.missing), plan.work.tests
    except CiError:
        done = total = 0
    return _Row(run=folder.name, job=job, state=_state(jobs, folder.path, job), done=done, total=total)


def _state(jobs: Jobs, run: Path, job: str) -> str:
    try:
        state = jobs.job(job)
    except CiError as error:
        return f"unknown: {error.what}"
    if state is not None:
        return f"{state.state}{f' ({state.reason})' if state.reason else ''}"
    return "ended" if SlurmFiles(run=run).end.exists() else "forgotten by Slurm, ended without its last word"


def _read(plan: Plan, run: Path) -> Merge:
    """All that the workers of a run have written."""
    files = SlurmFiles(run=run)
    merge = Merge({suite.id: [test.id for test in suite.tests] for suite in plan.work.suites})
    for number in files.workers:
        for event in Tail(files.events(number)).events():
            for _ in merge.take(number, event):
                pass
    return merge


def _goes_on(slurm: Slurm, job: str) -> bool:
    try:
        state = slurm.job(job)
    except SlurmError:
        return True  # nothing is known
    return state is not None and not state.state.row.ended


def _found(environ: Mapping[str, str], name: str) -> tuple[RunFolder, Plan, str]:
    """The folder, the plan and the job of a run."""
    folder = find_folder(runs_dir(environ), name)
    plan = read_plan(folder.path)
    job = Jobs(environ, answer_s=slurm_place(plan).limits.answer_s).find(folder.path)
    if not job:
        raise UsageError(
            f"{folder.name} has no job",
            cause="Slurm refused it, or it was ended before",
            then="./inv slurm.list",
        )
    return folder, plan, job
