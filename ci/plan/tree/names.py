"""A job's name, as Actions shows it, among a checkout's own jobs: what it runs there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Suite
from ci.errors import Problem, UsageError
from ci.plan.shards import Shard
from ci.plan.tree.model import CallKind, JobCell, Partition, TestCall, TreeFacts, TreeJob, source_at
from ci.plan.tree.suites import job_suite_name, rocm_number, suite_env

__all__ = ["NamedJob", "SuiteRun", "find_job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun:
    """One suite that a job runs: its part, and what its command gives beyond the suite's row in the followed catalog."""

    suite: Suite
    shard: Shard | None
    env: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJob:
    """The job of a name. `runs` has one entry for each call of the suite runner; `notes` say what no option can repeat.

    `rocm` is its ROCm version where that is not the suite's own, `label` its runner's.
    """

    runs: tuple[SuiteRun, ...]
    rocm: str
    label: str
    source: str
    notes: tuple[str, ...]


def find_job(catalog: Catalog, tree: TreeFacts, name: str, workflow: str = "") -> NamedJob | None:
    """What the job of that name runs; `catalog` follows the tree. None when no job of AMD's has the name.

    `workflow` is the name or the file of a workflow, or the job that calls it, where it is known: checks are named
    `WORKFLOW / JOB`. Of several jobs with one name that run the same tests that of the gate of pull requests is taken, and the
    others are noted.

    Raises:
        UsageError: several jobs have it and run different tests, or it runs nothing that can be planned.
    """
    every = [
        (each, job, cell)
        for each in tree.workflows
        for job in each.jobs
        for cell in (job.cells if job.amd else ())
        if cell.is_named(name)
    ]
    every = [row for row in every if row[2].name == name] or every
    if workflow:
        every = [row for row in every if row[0].file in _files_of(tree, workflow)] or every
    every.sort(key=lambda row: "pull_request" not in row[0].triggers)
    if not every:
        return None
    if len({_tests_of(job, cell) for _, job, cell in every}) > 1:
        raise UsageError(
            f"{len(every)} jobs of the tree are named {name!r} and run different tests",
            problems=[
                Problem(
                    where=job.source,
                    what=", ".join(map(_words, cell.calls)) or "runs no tests",
                    hint=f"./inv repro '{each.name} / {name}'",
                )
                for each, job, cell in every
            ],
            then="run one of these lines, with --checkout PATH",
        )
    (_, job, cell), *others = every
    rule = tree.registry.partition
    if rule.value is not Partition.LONGEST_FIRST and any((call.parts or 1) > 1 for call in cell.calls):
        raise UsageError(
            f"which files {name!r} ran cannot be told from the tree",
            cause=f"it splits suites by {rule.value} ({rule.source})",
            then="./inv repro LOG --checkout PATH: the job's log names its files",
        )
    same = tuple(
        f"{each.source} has a job of this name too: {', '.join(map(_words, its.calls))}, ROCm {_rocm_of(its) or 'unknown'}"
        for _, each, its in others
        if _what(its) != _what(cell)
    )
    return _named(catalog, job, cell, tuple(dict.fromkeys(same)))


def _files_of(tree: TreeFacts, workflow: str) -> frozenset[str]:
    """The files of a workflow's name or file, and those that a job of this name calls: `caller / job`."""
    own = {each.file for each in tree.workflows if workflow in (each.name, each.file.rpartition("/")[2])}
    called = {
        job.uses.removeprefix("./")
        for each in tree.workflows
        for job in each.jobs
        if job.uses and workflow in (job.id, job.written_name)
    }
    return frozenset(own | called)


def _tests_of(job: TreeJob, cell: JobCell) -> tuple[object, ...]:
    """What decides which tests a job runs."""
    calls = tuple((call.suite, call.nightly, call.part, call.parts, call.files) for call in cell.calls)
    return (job.id if not calls else "", calls)


def _what(cell: JobCell) -> tuple[object, ...]:
    """What else makes a difference."""
    return (cell.label, _rocm_of(cell), tuple(call.env for call in cell.calls))


def _rocm_of(cell: JobCell) -> str:
    return rocm_number(cell.container.rocm.value) if cell.container is not None else ""


def _named(catalog: Catalog, job: TreeJob, cell: JobCell, notes: tuple[str, ...]) -> NamedJob:
    suites = {suite.name: suite for suite in catalog.suites}
    runs = tuple(_runs(catalog, job, cell, suites))
    if not runs:
        words = ", ".join(f"{_words(call)} ({call.source})" for call in cell.calls)
        raise UsageError(
            f"the job {cell.name!r} runs no suite that can be planned",
            cause=f"it runs {words}" if words else f"{job.source} runs no tests",
            then="run its own command in the container: nox -s tree -- --checkout PATH shows it",
        )
    rocm = _rocm_of(cell)
    row = runs[0].suite.rocm or catalog.images.default_flavour.rocm
    return NamedJob(
        runs=runs,
        rocm=rocm if rocm not in ("", row) else "",
        label=cell.label,
        source=job.source,
        notes=(*notes, *_notes(cell, runs)),
    )


def _runs(catalog: Catalog, job: TreeJob, cell: JobCell, suites: Mapping[str, Suite]) -> Iterator[SuiteRun]:
    for call in cell.calls:
        if call.kind is CallKind.SUITE and call.suite in suites:
            suite = suites[call.suite]
            whole = call.parts is None or call.part is None
            yield SuiteRun(
                suite=suite,
                shard=None if whole else Shard(index=(call.part or 0) + 1, count=call.parts or 1),
                env=tuple(_beyond(catalog, suite, call)),
                source=call.source,
            )
    name = job_suite_name(job.id)
    if cell.calls and all(call.kind is CallKind.FILES for call in cell.calls) and name in suites:
        call = cell.calls[0]
        env = tuple(_beyond(catalog, suites[name], call))
        yield SuiteRun(suite=suites[name], shard=None, env=env, source=call.source)


def _beyond(catalog: Catalog, suite: Suite, call: TestCall) -> Iterator[tuple[str, str]]:
    """Variables that the call has and the suite's row has not."""
    ours = {
        variable.name: variable.value
        for name in suite.env_sets
        if name in catalog.env_sets
        for variable in catalog.env_sets[name].variables
    }
    env = suite_env(catalog, call)
    return (
        (variable.name, variable.value)
        for variable in (env.variables if env is not None else ())
        if ours.get(variable.name) != variable.value
    )


def _notes(cell: JobCell, runs: Sequence[SuiteRun]) -> Iterator[str]:
    if len({run.suite.name for run in runs}) < len(runs):
        yield "it runs a suite several times: " + "; ".join(
            f"{run.suite.name} with {' '.join(f'{name}={value}' for name, value in run.env) or 'its own variables'} ({run.source})"
            for run in runs
        )
    for call in cell.calls:
        if call.kind is CallKind.SUITE:
            row = next((run.suite for run in runs if run.source == call.source), None)
            limit = call.timeout_per_file_s
            if row is not None and limit is not None and limit != row.timeout_per_file_s:
                yield f"a file has {limit:g} s there ({call.source}), {row.timeout_per_file_s:g} s here: no option says so"
        elif any(run.source != call.source for run in runs) and not _is_only_files(cell):
            yield f"it also runs {_words(call)} ({source_at(call.file, call.line)})"


def _is_only_files(cell: JobCell) -> bool:
    return all(call.kind is CallKind.FILES for call in cell.calls)


def _words(call: TestCall) -> str:
    if call.kind is CallKind.FILES:
        return " ".join(call.files)
    part = f", part {call.part} of {call.parts}" if call.parts is not None else ""
    by = f" by {call.runner}" if call.kind is CallKind.OTHER_RUNNER else ""
    return f"{call.suite}{part}{by}"
