"""The parts of a suite: whether the jobs of a workflow run each of them once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ci.plan.outages.calls import SuiteCall, is_known, parts_of, selected, suite_calls
from ci.plan.outages.model import CheckedTree, Finding, FindingKind

__all__ = ["find_parts"]

_ID, _SIZE = "--auto-partition-id", "--auto-partition-size"


def find_parts(tree: CheckedTree) -> Iterator[Finding]:
    """Parts that are never run, run twice, do not exist, or have no test."""
    groups: dict[tuple[str, str, bool, int], list[SuiteCall]] = defaultdict(list)
    for each in suite_calls(tree.facts):
        if each.cell.inputs:
            continue
        yield from _invalid(each)
        if each.call.parts and is_known(each.call.suite):
            key = (each.workflow.file, each.call.suite, each.call.nightly, each.call.parts)
            groups[key].append(each)
    for (_, suite, _, count), calls in groups.items():
        yield from _idle(tree, suite, count, calls)
        if any(each.call.part is None for each in calls):
            continue
        yield from _not_run(tree, suite, count, calls)
        yield from _twice(suite, count, calls)


def _invalid(each: SuiteCall) -> Iterator[Finding]:
    call = each.call
    options = dict(call.options)
    number, size = options.get(_ID), options.get(_SIZE)
    what = ""
    if (number is None) is not (size is None):
        what = f"{_ID if size is None else _SIZE} is missing"
    elif number is not None and size is not None and is_known(number) and is_known(size):
        if call.parts is None or call.parts < 1:
            what = f"{_SIZE} is {size or 'empty'}, not a number"
        elif call.part is None:
            what = f"{_ID} is {number or 'empty'}, not a number"
            keys = ", ".join(each.job.matrix_keys)
            what += f": the matrix of {each.job.id} has {f'the keys {keys}' if keys else 'no keys'}"
        elif call.part >= call.parts:
            what = f"part {call.part} of {call.parts} of {call.suite} does not exist"
    if what:
        hint = f"parts count from 0 to {call.parts - 1}" if call.parts else "give both, as numbers"
        yield _finding(FindingKind.PART_INVALID, each, what, hint)


def _not_run(tree: CheckedTree, suite: str, count: int, calls: Sequence[SuiteCall]) -> Iterator[Finding]:
    run = {each.call.part for each in calls}
    tests = selected(tree, calls[0].call)
    for part in sorted(set(range(count)) - run):
        lost = len(parts_of(tests, count)[part])
        file = calls[0].workflow.file.rpartition("/")[2]
        what = f"part {part} of {count} of {suite} is run by no job of {file}: {lost} of {len(tests)} tests never run there"
        hint = f"parts count from 0: add {part} to the matrix, or lower {_SIZE}"
        yield _finding(FindingKind.PART_NOT_RUN, calls[0], what, hint)


def _twice(suite: str, count: int, calls: Sequence[SuiteCall]) -> Iterator[Finding]:
    """The same part in two jobs that differ in nothing else."""
    seen: dict[tuple[object, ...], SuiteCall] = {}
    for each in calls:
        rocm = each.cell.container.rocm.value if each.cell.container is not None else ""
        same = (each.call.part, each.cell.label, rocm, each.call.env)
        first = seen.setdefault(same, each)
        if first.cell is not each.cell:
            what = f"part {each.call.part} of {count} of {suite} runs twice: in {first.cell.name} and in {each.cell.name}"
            yield _finding(FindingKind.PART_TWICE, each, what, f"first at {first.call.source}")


def _idle(tree: CheckedTree, suite: str, count: int, calls: Sequence[SuiteCall]) -> Iterator[Finding]:
    tests = len(selected(tree, calls[0].call))
    if 0 < tests < count:
        what = f"{count} parts for the {tests} tests of {suite}"
        yield _finding(FindingKind.PART_IDLE, calls[0], what, f"{count - tests} jobs start for nothing")


def _finding(kind: FindingKind, each: SuiteCall, what: str, hint: str) -> Finding:
    return Finding(kind=kind, file=each.call.file, line=each.call.line, what=what, hint=hint)
