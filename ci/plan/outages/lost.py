"""What a checkout has lost or loosened since an earlier commit of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from ci.catalog.registrations.parse import Registration
from ci.plan.outages.calls import SuiteCall, suite_calls
from ci.plan.outages.limits import file_limit_s
from ci.plan.outages.model import CheckedTree, Finding, FindingKind, TestBound
from ci.plan.tree.model import TreeFacts, TreeJob

__all__ = ["find_lost"]

_AMD = "amd"


def find_lost(before: CheckedTree, after: CheckedTree) -> Iterator[Finding]:
    """Registrations, suites, parts, limits and bounds; what is new is none of it."""
    yield from _registrations(before, after)
    yield from _suites(before, after)
    yield from _jobs(before, after)
    yield from _bounds(before, after)


# --- registrations ----------------------------------------------------------------------------------------------------


def _registrations(before: CheckedTree, after: CheckedTree) -> Iterator[Finding]:
    was, now = _by_file(before.amd), _by_file((*after.amd, *(r for r in after.outside if r.disabled is None)))
    off = _by_file([row for row in after.registered if row.backend == _AMD and row.disabled is not None])
    for file, rows in was.items():
        if file not in after.files:
            yield from _gone(before, after, rows, now)
            continue
        # a registration for another suite takes the place of one
        missing = list((Counter(row.suite for row in rows) - Counter(r.suite for r in now[file])).elements())
        renamed = len(now[file]) - (len(rows) - len(missing))
        line = now[file][0].line if now[file] else 1
        disabled = list(off[file])
        for suite in missing[max(renamed, 0) :]:
            reason = next((row for row in disabled if row.suite == suite), disabled[0] if disabled else None)
            if reason is not None:
                disabled.remove(reason)
                what = f"the registration for {suite!r} was disabled: {reason.disabled}"
                yield _finding(FindingKind.REGISTRATION_DISABLED, file, reason.line, what)
            else:
                what = f"lost its AMD registration for {suite!r}"
                hint = f"it was in line {next(row.line for row in rows if row.suite == suite)}"
                yield _finding(FindingKind.REGISTRATION_LOST, file, line, what, hint)


def _gone(
    before: CheckedTree,
    after: CheckedTree,
    rows: Sequence[Registration],
    now: Mapping[str, Sequence[Registration]],
) -> Iterator[Finding]:
    """A file that is not there: moved with its registration, moved without it, or removed."""
    file = rows[0].file
    name = file.rpartition("/")[2]
    places = [
        each
        for each in sorted(after.files - before.files)
        if each.rpartition("/")[2] == name and _are_alike(before.cases.get(file), after.cases.get(each))
    ]
    if any(now[place] for place in places):
        return
    suites = ", ".join(row.suite for row in rows)
    if places:
        what = f"was {file}, and lost its AMD registration for {suites} when it was moved"
        yield _finding(FindingKind.REGISTRATION_LOST, places[0], 1, what)
    else:
        what = f"was removed with its AMD registration for {suites}"
        yield _finding(FindingKind.REGISTRATION_GONE, file, rows[0].line, what)


def _are_alike(one: frozenset[str] | None, two: frozenset[str] | None) -> bool:
    """Whether two files of one name share most of their cases; one without cases, as a benchmark, goes by its name."""
    return not one or 2 * len(one & (two or frozenset())) >= len(one)


def _by_file(rows: Sequence[Registration]) -> Mapping[str, list[Registration]]:
    found: dict[str, list[Registration]] = defaultdict(list)
    for row in rows:
        found[row.file].append(row)
    return found


# --- suites, parts and limits -----------------------------------------------------------------------------------------


def _suites(before: CheckedTree, after: CheckedTree) -> Iterator[Finding]:
    """Suites that have tests, that a job ran, and that none runs."""
    run = {(each.call.suite, each.call.nightly) for each in suite_calls(after.facts)}
    seen: set[tuple[str, bool]] = set()
    for each in suite_calls(before.facts):
        key = (each.call.suite, each.call.nightly)
        rows = [row for row in after.amd if (row.suite, row.nightly) == key]
        if key in run or key in seen or not rows:
            continue
        seen.add(key)
        what = f"no job runs {each.call.suite!r} any more: {len(rows)} tests"
        hint = f"{each.job.id} did, {each.call.source} then"
        yield _finding(FindingKind.SUITE_LOST, rows[0].file, rows[0].line, what, hint)


def _jobs(before: CheckedTree, after: CheckedTree) -> Iterator[Finding]:
    """Jobs that both have: fewer parts, higher limits, more attempts."""
    was, now = _calls(before.facts), _calls(after.facts)
    for key in was.keys() & now.keys():
        old, new = was[key], now[key]
        parts = [max(each.call.parts or 1 for each in calls) for calls in (old, new)]
        if parts[1] < parts[0]:
            what = f"{new[0].call.suite} has {parts[1]} parts, {parts[0]} before"
            yield _finding(FindingKind.PART_LOST, new[0].call.file, new[0].call.line, what)
        file_old, file_new = (
            _longest([file_limit_s(facts, each.call) for each in calls])
            for facts, calls in ((before.facts, old), (after.facts, new))
        )
        step_old, step_new = (
            _longest([each.call.step_timeout_min for each in calls]) for calls in (old, new)
        )
        tries_old, tries_new = (max(each.call.attempts for each in calls) for calls in (old, new))
        rows: tuple[tuple[str, str, float | None, float | None], ...] = (
            ("the limit of a file", "s", file_old, file_new),
            ("the step's limit", "min", step_old, step_new),
            ("attempts", "", tries_old, tries_new),
        )
        for name, unit, first, second in rows:
            if _is_looser(first, second):
                what = (
                    f"{name} for {new[0].call.suite} is {_words(second, unit)}, {_words(first, unit)} before"
                )
                yield _finding(FindingKind.LIMIT_LOOSENED, new[0].call.file, new[0].call.line, what)
    jobs = {(job.file, job.id): job for job in before.facts.amd_jobs}
    for job in after.facts.amd_jobs:
        old_job = jobs.get((job.file, job.id))
        if old_job is None or not _runs(job) or (job.limited and job.timeout_min is None):
            continue
        if _is_looser(old_job.timeout_min, job.timeout_min):
            what = f"the limit of job {job.id} is {_words(job.timeout_min, 'min')}, {_words(old_job.timeout_min, 'min')} before"
            yield _finding(FindingKind.LIMIT_LOOSENED, job.file, job.line, what)


def _runs(job: TreeJob) -> bool:
    return any(cell.calls for cell in job.cells)


def _calls(facts: TreeFacts) -> Mapping[tuple[str, str, str, bool], list[SuiteCall]]:
    """Calls of a run without inputs, by workflow, job, suite and cadence."""
    found: dict[tuple[str, str, str, bool], list[SuiteCall]] = defaultdict(list)
    for each in suite_calls(facts):
        if not each.cell.inputs:
            found[each.workflow.file, each.job.id, each.call.suite, each.call.nightly].append(each)
    return found


def _longest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _is_looser(old: float | None, new: float | None) -> bool:
    return old is not None and (new is None or new > old)


def _words(value: float | None, unit: str) -> str:
    return "none" if value is None else f"{value:g} {unit}".rstrip()


# --- bounds -----------------------------------------------------------------------------------------------------------


def _bounds(before: CheckedTree, after: CheckedTree) -> Iterator[Finding]:
    """Bounds of tests that are registered for AMD, before and now."""
    files = {row.file for row in before.amd} & {row.file for row in after.amd}
    for file in sorted(files):
        old = [bound for bound in before.bounds if bound.file == file]
        new = [bound for bound in after.bounds if bound.file == file]
        for bound in list(old):  # what did not change
            same = next(
                (each for each in new if _key(each) == _key(bound) and each.limit == bound.limit), None
            )
            if same is not None:
                old.remove(bound)
                new.remove(same)
        for bound in old:
            found = _successor(bound, new)
            if found is None and any(_key(each) == _key(bound) for each in after.bounds if each.file == file):
                continue  # two branches became one
            if found is None:
                what = f"the bound {_shown(bound)} was removed"
                yield _finding(FindingKind.BOUND_LOST, file, 1, what, f"it was in line {bound.line}")
                continue
            new.remove(found)
            if (found.limit < bound.limit) if bound.lower else (found.limit > bound.limit):
                what = f"the bound {_shown(found)} was {bound.limit:g} before"
                yield _finding(FindingKind.BOUND_LOOSENED, file, found.line, what)


def _key(bound: TestBound) -> tuple[str, str, bool]:
    return bound.scope, bound.name, bound.lower


def _successor(bound: TestBound, new: Sequence[TestBound]) -> TestBound | None:
    """The bound that took its place: of the same name, else of the same value in another scope, else the same limit."""
    alike = [each for each in new if each.lower == bound.lower]
    rules: tuple[Callable[[TestBound], bool], ...] = (
        lambda each: _key(each) == _key(bound),
        lambda each: each.name == bound.name,
        lambda each: each.limit == bound.limit,
    )
    return next((each for fits in rules for each in alike if fits(each)), None)


def _shown(bound: TestBound) -> str:
    scope = f" in {bound.scope}" if bound.scope else ""
    return f"{bound.name} {'>' if bound.lower else '<'} {bound.limit:g}{scope}"


def _finding(kind: FindingKind, file: str, line: int, what: str, hint: str = "") -> Finding:
    return Finding(kind=kind, file=file, line=line, what=what, hint=hint)
