"""`./inv slurm.attach|list|cancel`: runs whose jobs Slurm has."""

from collections.abc import Mapping
from dataclasses import asdict

from ci.catalog.catalog import load_catalog
from ci.cli.run import new_run
from ci.errors import UsageError
from ci.execute.run_folder import RunFolder, find_folder, read_plan
from ci.execute.slurm.files import SlurmFiles, read_whole
from ci.execute.slurm.outside import end_job, run_rows
from ci.execute.slurm.owner import Jobs, followed_elsewhere
from ci.execute.slurm.place import slurm_place
from ci.facts.gather import runs_dir
from ci.plan.model import Plan
from ci.record.event_log import read_events
from ci.record.events import RunEnded
from ci.report.console import new_table, open_console, print_json, say
from ci.system.file_lock import FileLock

__all__ = ["attach_verb", "cancel_verb", "list_verb"]


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
    if not end_job(plan, job, environ):
        say(f"job {job} of {folder.name} has ended already")
        return
    say(f"job {job} of {folder.name} is cancelled")
    lock = FileLock()
    if lock.take(SlurmFiles(run=folder.path).follow_lock):
        lock.release()
        say(f"nobody follows it: ./inv slurm.attach {folder.name} writes its reports")


def list_verb(environ: Mapping[str, str], *, as_json: bool) -> None:
    """Show the runs with a job, the newest first."""
    rows = run_rows(runs_dir(environ), environ)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = new_table("run", "job", "state", "tests done")
    for row in rows:
        table.add_row(row.run, row.job, row.state, f"{row.done}/{row.total}")
    open_console(environ).print(table)


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
