"""Our own lint: what the linters of others cannot know, because it takes workflows, suites and pools together."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ci.catalog.catalog import Catalog
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.github.matrix import suites_of
from ci.github.workflows.reader import Job, Workflow, read_workflows
from ci.github.workflows.render import WORKFLOWS, render

__all__ = ["lint_own", "lint_workflows"]

_HOSTED = ("ubuntu-*", "macos-*", "windows-*")  # GitHub's own runners


def lint_workflows(catalog: Catalog) -> list[Problem]:
    """What is wrong with our workflows, as rendered: a file that differs from that is stale."""
    problems: list[Problem] = []
    rendered = {path: text.encode() for path, text in render(catalog).items() if path.startswith(WORKFLOWS)}
    problems += lint_own(catalog, read_workflows(rendered.items(), problems))
    return problems


def lint_own(catalog: Catalog, workflows: Sequence[Workflow]) -> list[Problem]:
    """What is wrong with our own catalog and what is rendered from it. `check_registrations` compares its suites."""
    return [*_reach(catalog), *_jobs(_known_labels(catalog), workflows)]


def _known_labels(catalog: Catalog) -> list[str]:
    return [*(row.label for row in catalog.labels), *catalog.actions.hosts.values()]


def _jobs(labels: Sequence[str], workflows: Sequence[Workflow]) -> Iterator[Problem]:
    """What is wrong with jobs by themselves: limits, labels, jobs that can never start, counts that were written down."""
    for workflow in workflows:
        jobs = {job.id: job for job in workflow.jobs}
        for job in workflow.jobs:
            yield from _limits(workflow, job)
            yield from _labels(workflow, job, labels)
            yield from _needs(workflow, job, jobs)
            yield from _counts(workflow, job)


def _reach(catalog: Catalog) -> Iterator[Problem]:
    """Stages and suites of our own catalog that no rendered workflow gets to."""
    run = {suite.name for row in catalog.actions.of_kind("tests") for suite in suites_of(catalog, row)}
    for suite in catalog.suites:
        if suite.name not in run:
            kind = "nightly suites" if suite.nightly else "suites that are not nightly"
            what = f"unreachable: no workflow runs {kind}"
            hint = "add a [[workflow]] of kind tests to actions.toml"
            yield Problem(where=catalog.where(suite), what=what, hint=hint)
    after: Mapping[str, tuple[str, ...]] = {stage.id: stage.after for stage in catalog.stages}
    for stage in catalog.stages:
        where = catalog.where(stage, "after")
        if stage.id in _all_before(stage.id, after):
            yield Problem(
                where=where, what="unreachable: the stage waits for itself", hint="break the circle"
            )
            continue
        for row in catalog.actions.of_kind("tests"):
            mine = {suite.stage for suite in suites_of(catalog, row)}
            for name in stage.after if stage.id in mine else ():
                if name not in mine:
                    what = f"unreachable: {row.id} runs this stage, but not {name!r}, which it waits for"
                    yield Problem(
                        where=where, what=what, hint="a stage waits only for stages of its workflow"
                    )


def _limits(workflow: Workflow, job: Job) -> Iterator[Problem]:
    if not job.limited and not job.calls_workflow:  # a called workflow has its own
        what = f"no limit: job {job.id} has no timeout-minutes"
        yield Problem(where=f"{workflow.file}:{job.line}", what=what, hint="GitHub's own is six hours")


def _labels(workflow: Workflow, job: Job, labels: Sequence[str]) -> Iterator[Problem]:
    for label in job.labels:
        hosted = any(fnmatchcase(label.text, pattern) for pattern in _HOSTED)
        if label.text and not hosted and not any(label.fits(known) for known in labels):
            what = f"unknown label: {label.text!r} of job {job.id} is in no pool"
            yield Problem(where=f"{workflow.file}:{label.line}", what=what, hint=closest(label.text, labels))


def _needs(workflow: Workflow, job: Job, jobs: Mapping[str, Job]) -> Iterator[Problem]:
    where = f"{workflow.file}:{job.line}"
    if job.never:
        yield Problem(where=where, what=f"unreachable: the condition of job {job.id} is never true")
    for name in job.needs:
        if name not in jobs:
            what = f"unreachable: job {job.id} needs {name!r}, which is not a job"
            yield Problem(where=where, what=what, hint=closest(name, jobs))
    if job.id in _all_before(job.id, {name: other.needs for name, other in jobs.items()}):
        yield Problem(where=where, what=f"unreachable: job {job.id} needs itself", hint="break the circle")


def _counts(workflow: Workflow, job: Job) -> Iterator[Problem]:
    for wait in job.waits:
        fitting = [other for other in workflow.jobs if other.id == wait.prefix]
        where = f"{workflow.file}:{wait.line}"
        if not fitting:
            what = f"wrong count: job {job.id} waits for {wait.prefix!r}, which is not a job"
            yield Problem(
                where=where, what=what, hint=closest(wait.prefix, [other.id for other in workflow.jobs])
            )
        elif fitting[0].cells is not None and fitting[0].cells != wait.expected:
            what = f"wrong count: job {job.id} waits for {wait.expected} of {wait.prefix}, whose matrix makes {fitting[0].cells}"
            yield Problem(where=where, what=what)


def _all_before(name: str, before: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Everything that must have ended before `name`; itself among them when there is a circle."""
    seen: set[str] = set()
    pending = list(before.get(name, ()))
    while pending:
        earlier = pending.pop()
        if earlier not in seen:
            seen.add(earlier)
            pending += before.get(earlier, ())
    return seen
