"""Limits of files, steps and jobs: whether each can hold what it limits, by the tests' own estimates."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from ci.catalog.registrations.parse import Registration
from ci.plan.outages.calls import SuiteCall, is_known, parts_of, selected, suite_calls
from ci.plan.outages.model import CheckedTree, Finding, FindingKind
from ci.plan.tree.model import JobCell, TestCall, TreeFacts, TreeJob, source_at

__all__ = ["file_limit_s", "find_limits"]

_MINUTE_S: Final = 60
# a variable that leaves tests out of what a file runs: its estimate does not hold then
_NARROWS: Final = re.compile(r"(?:^|_)(?:ONLY|SKIP|QUICK|SMOKE|FAST)(?:_|$)")


def find_limits(tree: CheckedTree) -> Iterator[Finding]:
    """Estimates above limits, limits above those around them, and tests without any limit."""
    yield from _files(tree)
    seen: set[tuple[object, ...]] = set()
    for finding in (each for job in tree.facts.amd_jobs for each in _of_job(tree, job)):
        # one finding for each line: a matrix says the same of every cell
        if (finding.kind, finding.file, finding.line) not in seen:
            seen.add((finding.kind, finding.file, finding.line))
            yield finding


def file_limit_s(facts: TreeFacts, call: TestCall) -> float | None:
    """The limit of a file in a call of the runner, with what a retry adds; None where it is not known."""
    default = facts.registry.defaults.timeout_per_file_s
    limit = call.timeout_per_file_s
    if limit is None:
        limit = (
            default.value if default is not None and "--timeout-per-file" not in dict(call.options) else None
        )
    if limit is None or "--timeout-from-est-time" in dict(call.options):
        return None
    if call.attempts > 1:
        increase = facts.registry.defaults.retry_timeout_increase_s
        more = call.retry_timeout_increase_s
        limit += (increase.value if increase is not None else 0) if more is None else more
    return limit


def _files(tree: CheckedTree) -> Iterator[Finding]:
    """Tests whose estimate is above the limit of a file; once for each registration, by its lowest limit."""
    lowest: dict[Registration, tuple[float, TestCall]] = {}
    for each in suite_calls(tree.facts):
        limit = None if _is_narrowed(each.call) else file_limit_s(tree.facts, each.call)
        for row in selected(tree, each.call) if limit is not None else ():
            if limit is not None and row.est_time_s > limit < lowest.get(row, (row.est_time_s, None))[0]:
                lowest[row] = (limit, each.call)
    for row, (limit, call) in lowest.items():
        what = f"est_time is {row.est_time_s:g} s, the limit of a file in {call.source} is {limit:g} s"
        yield Finding(kind=FindingKind.FILE_LIMIT, file=row.file, line=row.line, what=what)


def _of_job(tree: CheckedTree, job: TreeJob) -> Iterator[Finding]:
    calls: Mapping[int, list[SuiteCall]] = {}
    found = [each for each in suite_calls(tree.facts) if each.job is job]
    calls = {id(cell): [each for each in found if each.cell is cell] for cell in job.cells}
    for cell in sorted(
        job.cells, key=lambda cell: -sum(_estimate_s(tree, one) or 0 for one in calls[id(cell)])
    ):
        yield from _steps(tree, job, cell, calls[id(cell)])
        yield from _whole(tree, job, cell, calls[id(cell)])
    tests = [call for cell in job.cells for call in cell.calls]
    # a step without a limit of its own is named by itself
    if tests and not job.limited and all(call.step_timeout_min is not None for call in tests):
        what = f"job {job.id} has no timeout-minutes"
        yield Finding(kind=FindingKind.JOB_UNLIMITED, file=job.file, line=job.line, what=what)


def _steps(tree: CheckedTree, job: TreeJob, cell: JobCell, calls: list[SuiteCall]) -> Iterator[Finding]:
    """What each step with a limit is to hold, and tests in steps without one."""
    for call in cell.calls:
        if call.step_timeout_min is None and not job.limited:
            what = f"a step of {job.id} runs tests, and neither it nor the job has timeout-minutes"
            yield Finding(kind=FindingKind.STEP_UNLIMITED, file=call.file, line=call.line, what=what)
    for line in dict.fromkeys(each.call.step_line for each in calls):
        mine = [each for each in calls if each.call.step_line == line]
        limit_min = mine[0].call.step_timeout_min
        if limit_min is None:
            continue
        limit_s = limit_min * _MINUTE_S
        total_s = sum(_estimate_s(tree, each) or 0 for each in mine)
        where = mine[0].call
        name = _names(mine)
        if total_s > limit_s:
            what = (
                f"the tests of {name} are estimated at {total_s:g} s, the step's limit is {limit_min:g} min"
            )
            yield Finding(kind=FindingKind.STEP_LIMIT, file=where.file, line=where.line, what=what)
            continue
        for each in mine:
            file_s = file_limit_s(tree.facts, each.call)
            if file_s is not None and file_s > limit_s:
                what = f"a file of {name} may take {file_s:g} s, the step's limit is {limit_min:g} min"
                hint = "a file that hangs ends the step, and no test is named"
                yield Finding(
                    kind=FindingKind.STEP_LIMIT, file=where.file, line=each.call.line, what=what, hint=hint
                )


def _whole(tree: CheckedTree, job: TreeJob, cell: JobCell, calls: list[SuiteCall]) -> Iterator[Finding]:
    """What the whole job is to hold."""
    if job.timeout_min is None:
        return
    limit_s = job.timeout_min * _MINUTE_S
    total_s = sum(_estimate_s(tree, each) or 0 for each in calls)
    if total_s > limit_s:
        what = f"the tests of {_names(calls)} are estimated at {total_s:g} s, the limit of job {job.id} is {job.timeout_min:g} min"
        yield Finding(kind=FindingKind.JOB_LIMIT, file=job.file, line=job.line, what=what)
    for call in cell.calls:
        if call.step_timeout_min is not None and call.step_timeout_min > job.timeout_min:
            what = f"the step's limit is {call.step_timeout_min:g} min, that of job {job.id} is {job.timeout_min:g} min"
            hint = f"the job ends first: {source_at(job.file, job.line)}"
            yield Finding(
                kind=FindingKind.JOB_LIMIT, file=call.file, line=call.step_line, what=what, hint=hint
            )


def _estimate_s(tree: CheckedTree, each: SuiteCall) -> float | None:
    """What a call takes by the tests' estimates; None where its tests are not known. Retries are not counted."""
    call = each.call
    if not is_known(call.suite) or _is_narrowed(call):
        return None
    count = call.parts or 1
    shares = [sum(row.est_time_s for row in part) for part in parts_of(selected(tree, call), count)]
    if call.parts is None:
        return shares[0]
    # which part it is may be known only at run time: then no part is lighter than the lightest
    return shares[call.part] if call.part is not None and call.part < count else min(shares)


def _is_narrowed(call: TestCall) -> bool:
    return any(_NARROWS.search(name) and value not in ("", "0") for name, value in call.env)


def _names(calls: list[SuiteCall]) -> str:
    return " and ".join(dict.fromkeys(map(_name, calls)))


def _name(each: SuiteCall) -> str:
    """A call's suite with what sets it apart: `stage-b (part 3 of 14, runner_arch=mi325)`."""
    apart = [f"part {each.call.part} of {each.call.parts}"] if each.call.part is not None else []
    apart += [f"{name}={value}" for name, value in each.cell.inputs]
    return each.call.suite + (f" ({', '.join(apart)})" if apart else "")
