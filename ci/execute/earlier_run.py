"""What failed in an earlier run, for `--last-failed [RUN]` and `--plan RUN --failed`."""

import json
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.verdicts import Status
from ci.errors import NothingSelectedError, Problem, UsageError
from ci.execute.run_folder import RunFolder, find_folder, newest_folder, read_plan
from ci.plan.compare.replay import only_tests
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.record.events import Baseline
from ci.record.model import RunRecord

__all__ = ["baseline_of", "failed_part", "with_failed"]

# of a file that is damaged from end to end
_SHOWN = 3


def with_failed(request: Request, run: str, runs: Path, *, root: Path, checkout: bool) -> Request:
    """The request for what failed in a run, the newest of its stage when `run` is empty; the command names the run.

    `root` is the tree whose tests are asked for, `checkout` whether it is one of SGLang's.

    Raises:
        UsageError: the run is unknown, of another stage or another tree, or what failed in it cannot be known.
        NothingSelectedError: nothing failed in it.
    """
    folder = find_folder(runs, run) if run else newest_folder(runs, request.stage)
    if folder is None:
        raise UsageError(f"--last-failed: no run of {request.stage} in {runs}", then="run the stage first")
    _require_tree(folder, root, checkout=checkout, anywhere=bool(run))
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


def _require_tree(folder: RunFolder, root: Path, *, checkout: bool, anywhere: bool) -> None:
    """Refuse a run of other tests; `anywhere`: a run that was named may be of the same tree in another place."""
    try:
        data = json.loads(folder.plan.read_text(encoding="utf-8"))
        theirs, of_checkout = str(data["placement"]["root"]), bool(data["work"]["checkout"])
    except (OSError, ValueError, TypeError, KeyError):
        return  # the record says what is wrong with it
    if of_checkout == checkout and (anywhere or Path(theirs) == root):
        return
    words = f"--checkout {theirs}" if of_checkout else "without --checkout"
    raise UsageError(
        f"--last-failed: {folder.name} is a run of {'the checkout' if of_checkout else 'the tests in'} {theirs},"
        f" this is {root}",
        cause="the newest run of the stage counts, and what failed in it says nothing of other tests",
        then=f"name a run of this tree: --last-failed RUN; that one again: --last-failed {folder.name}, {words}",
    )


def _failed(folder: RunFolder, option: str, stage: str) -> tuple[tuple[str, str], ...]:
    """Suites and node ids."""
    if not folder.events.exists():
        raise UsageError(
            f"{option}: {folder.name} has no record",
            cause="it was ended before its first event, or is being started",
            then=f"run the stage again, or name an earlier run: ls {folder.path.parent}",
        )
    record = folder.record()
    if not record.start.stage:
        raise _unknown(folder, option, record, "its first event is missing")
    if record.start.stage != stage:
        what = (
            f"{option}: {folder.name} is a run of {record.start.stage or 'an unknown stage'}, this is {stage}"
        )
        raise UsageError(what, then=f"nox -s {record.start.session or 'STAGE'} -- {option} {folder.name}")
    if not record.nodes_to_repeat and (record.problems or record.recorded_exit is None):
        raise _unknown(folder, option, record, "it has no end")
    if not record.nodes_to_repeat:
        raise NothingSelectedError(
            f"{option}: nothing failed in {folder.name}",
            cause="its tests passed, were flaky, or were skipped",
            then=f"read {folder.path / 'summary.md'}",
        )
    return record.nodes_to_repeat


def _unknown(folder: RunFolder, option: str, record: RunRecord, otherwise: str) -> UsageError:
    problems = record.problems[:_SHOWN] or (otherwise,)
    return UsageError(
        f"{option}: what failed in {folder.name} is not known: its record is not whole",
        problems=[Problem(where=folder.events.name, what=problem) for problem in problems],
        cause="the run was killed, the disk was full, or the file was changed",
        then=f"read {folder.path / 'summary.md'}, or run the stage again",
    )
