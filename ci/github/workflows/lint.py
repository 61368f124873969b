"""Our own lint: what the linters of others cannot know, because it takes workflows, registrations and pools together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery, Registration
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.github.matrix import suites_of
from ci.github.workflows.render import WORKFLOWS, render
from ci.github.workflows.sglang_reader import Job, Workflow, read_workflows, workflow_files

__all__ = ["lint_own", "lint_tree", "lint_workflows"]

_HOSTED = ("ubuntu-*", "macos-*", "windows-*")  # GitHub's own runners


def lint_workflows(catalog: Catalog, root: Path, tests: Discovery, *, own: bool) -> list[Problem]:
    """What is wrong with the workflows of a checkout: with ours as rendered, since a file that differs from that is stale; with another tree's as they are."""
    problems: list[Problem] = []
    if own:
        rendered = {
            path: text.encode() for path, text in render(catalog).items() if path.startswith(WORKFLOWS)
        }
        problems += lint_own(catalog, read_workflows(rendered.items(), problems))
    else:
        problems += lint_tree(catalog, read_workflows(workflow_files(root, problems), problems), tests)
    return problems


def lint_own(catalog: Catalog, workflows: Sequence[Workflow]) -> list[Problem]:
    """What is wrong with our own catalog and what is rendered from it. `check_registrations` compares its suites."""
    return [*_reach(catalog), *_jobs(_known_labels(catalog), workflows)]


def lint_tree(catalog: Catalog, workflows: Sequence[Workflow], tests: Discovery) -> list[Problem]:
    """What is wrong with the AMD workflows of another tree, and between them and its registrations."""
    labels = _known_labels(catalog)
    ours = [workflow for workflow in workflows if any(_is_amd(job, labels) for job in workflow.jobs)]
    return [*_suites(ours, tests, labels), *_jobs(labels, ours)]


def _known_labels(catalog: Catalog) -> list[str]:
    return [*(row.label for row in catalog.labels), *catalog.actions.hosts.values()]


def _is_amd(job: Job, labels: Sequence[str]) -> bool:
    """Whether a job runs AMD tests: its command says so, or one of its labels is a pool's."""
    if any(call.hardware == "amd" for call in job.calls):
        return True
    hosted = {label.text for label in job.labels if any(fnmatchcase(label.text, each) for each in _HOSTED)}
    return any(label.text not in hosted and label.fits(known) for label in job.labels for known in labels)


def _jobs(labels: Sequence[str], workflows: Sequence[Workflow]) -> Iterator[Problem]:
    """What is wrong with jobs by themselves: limits, labels, jobs that can never start, counts that were written down."""
    for workflow in workflows:
        jobs = {job.id: job for job in workflow.jobs}
        for job in workflow.jobs:
            yield from _limits(workflow, job)
            yield from _labels(workflow, job, labels)
            yield from _needs(workflow, job, jobs)
            yield from _counts(workflow, job)


def _suites(workflows: Sequence[Workflow], tests: Discovery, labels: Sequence[str]) -> Iterator[Problem]:
    """What workflows and registrations say of each other."""
    enabled = [row for row in tests.registrations if row.disabled is None]
    jobs = [
        (workflow.file, job)
        for workflow in workflows
        for job in workflow.jobs
        if job.calls_workflow or _is_amd(job, labels)
    ]
    calls = [(file, call) for file, job in jobs for call in job.calls if call.hardware in ("", "amd")]
    named = [file for _, job in jobs for file in job.files]
    run = {(call.suite, call.nightly) for _, call in calls}
    for row in enabled:
        if (row.suite, row.nightly) not in run and not any(_names(file, row.file) for file in named):
            yield _orphan(row, {suite for suite, _ in run})
    for file, call in calls:
        where = f"{file}:{call.line}"
        if "$" in call.suite:
            what = f"computed suite: {call.suite!r} is known only when it runs"
            yield Problem(where=where, what=what, hint="write the name")
            continue
        registered = [row for row in tests.registrations if row.suite == call.suite]
        count = sum(1 for row in registered if row.disabled is None and row.nightly == call.nightly)
        if not registered:
            hint = _near(call.suite, {row.suite for row in tests.registrations})
            yield Problem(where=where, what=f"unknown suite: no test registers {call.suite!r}", hint=hint)
        elif not count:
            what = f"empty suite: nothing of {call.suite!r} would run"
            others = any(row.disabled is None for row in registered)
            hint = "its tests have the other value of nightly" if others else "all of its tests are disabled"
            yield Problem(where=where, what=what, hint=hint)
        elif call.size is not None and call.size > count:
            what = f"idle shards: {call.size} parts for the {count} tests of {call.suite!r}"
            yield Problem(where=where, what=what, hint=f"{call.size - count} jobs start for nothing")


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
    for line in job.open_steps:
        what = f"no limit: a step of {job.id} runs tests without timeout-minutes, and so does its job"
        yield Problem(where=f"{workflow.file}:{line}", what=what)


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


def _orphan(row: Registration, run: set[str]) -> Problem:
    what = f"orphan: no workflow runs suite {row.suite!r}"
    if row.suite in run:
        what += f" with nightly={row.nightly}"
    hint = "name the suite or the file in a workflow, or disable the registration with a reason"
    return Problem(where=f"{row.file}:{row.line}", what=what, hint=hint)


def _near(name: str, known: Collection[str]) -> str:
    """The nearest names; nothing when none is near, since there are more than a hundred suites."""
    hint = closest(name, known)
    return hint if hint.startswith("did you mean") else ""


def _names(written: str, file: str) -> bool:
    """Whether a path in a command, from whatever folder, is this file."""
    return file == written or file.endswith("/" + written.removeprefix("./")) or written.endswith("/" + file)


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
