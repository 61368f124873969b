"""What failed in an earlier run, for `--last-failed [RUN]` and `--plan RUN --failed`."""

from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.verdicts import Status
from ci.errors import NothingSelectedError, UsageError
from ci.execute.run_folder import RunFolder, find_folder, newest_folder, read_plan
from ci.plan.compare.replay import only_tests
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.record.events import Baseline

__all__ = ["baseline_of", "failed_part", "with_failed"]


def with_failed(request: Request, run: str, runs: Path) -> Request:
    """The request for what failed in a run, the newest of its stage when `run` is empty; the command names the run.

    Raises:
        UsageError: the run is unknown, or of another stage.
        NothingSelectedError: nothing failed in it.
    """
    folder = find_folder(runs, run) if run else newest_folder(runs, request.stage)
    if folder is None:
        raise UsageError(f"--last-failed: no run of {request.stage} in {runs}", then="run the stage first")
    failed = _failed(folder, "--last-failed", request.stage)
    words = list(request.command)
    if not run and "--last-failed" in words:
        # the next run is the newest then
        words.insert(words.index("--last-failed") + 1, folder.name)
    return replace(request, failed=failed, tests_source=f"--last-failed: {folder.name}", command=tuple(words))


def baseline_of(run: str, runs: Path, *, stage: str) -> Baseline:
    """What passed in the run that another one is compared with.

    Raises:
        UsageError: the run is unknown, or of another stage.
    """
    folder = find_folder(runs, run)
    record = folder.record()
    if record.start.stage != stage:
        what = f"--baseline: {folder.name} is a run of {record.start.stage or 'an unknown stage'}, this is {stage}"
        raise UsageError(what, then=f"ls {runs}")
    passed = tuple((test.suite, test.id) for test in record.having(Status.PASSED, Status.FLAKY))
    work = read_plan(folder.plan).work
    return Baseline(run=folder.name, commit=work.checkout or work.commit, passed=passed)


def failed_part(catalog: Catalog, plan: Plan, run: str, runs: Path) -> Plan:
    """The saved plan of a run with only what failed in it.

    Raises:
        UsageError: it is not a run folder, or its record is not of this plan.
        NothingSelectedError: nothing failed in it.
    """
    return only_tests(catalog, plan, _failed(find_folder(runs, run), "--failed", plan.work.stage))


def _failed(folder: RunFolder, option: str, stage: str) -> tuple[tuple[str, str], ...]:
    """Suites and node ids."""
    record = folder.record()
    if record.start.stage != stage:
        what = (
            f"{option}: {folder.name} is a run of {record.start.stage or 'an unknown stage'}, this is {stage}"
        )
        raise UsageError(what, then=f"nox -s {record.start.session or 'STAGE'} -- {option} {folder.name}")
    if not record.nodes_to_repeat:
        raise NothingSelectedError(
            f"{option}: nothing failed in {folder.name}",
            cause="its tests passed, were flaky, or were skipped",
            then=f"read {folder.path / 'summary.md'}",
        )
    return record.nodes_to_repeat
