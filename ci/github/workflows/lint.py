"""Our own lint: what the linters of others cannot know, because it takes workflows, suites and pools together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ci.catalog.catalog import Catalog
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.facts.tree.jobs import Launchers
from ci.facts.tree.workflow_file import load_workflows
from ci.facts.tree.workflows import WORKFLOWS, read_workflows
from ci.github.matrix import suites_of
from ci.github.workflows.render import render
from ci.plan.outages.workflows import find_blocked
from ci.plan.tree.model import ANY, RunnerDefaults, TreeJob, TreeWorkflow

__all__ = ["lint_own", "lint_workflows", "read_own"]

_HOSTED = ("ubuntu-*", "macos-*", "windows-*")  # GitHub's own runners


def lint_workflows(catalog: Catalog) -> list[Problem]:
    """What is wrong with our workflows, as rendered: a file that differs from that is stale."""
    problems: list[Problem] = []
    rendered = {path: text.encode() for path, text in render(catalog).items() if path.startswith(WORKFLOWS)}
    workflows = read_own(catalog, rendered, problems)
    return [*problems, *lint_own(catalog, workflows)]


def read_own(
    catalog: Catalog, files: Mapping[str, bytes], problems: list[Problem]
) -> tuple[TreeWorkflow, ...]:
    """Our workflows as those of any tree are read; one that is invalid or has no jobs is added to `problems`.

    What only a run can tell is no problem: our jobs are planned at run time.
    """
    launchers = Launchers(workdir="", rocm={}, defaults=RunnerDefaults(), hardware=catalog.hardware)
    return read_workflows(load_workflows(files.items(), problems), launchers, [])


def lint_own(catalog: Catalog, workflows: Sequence[TreeWorkflow]) -> list[Problem]:
    """What is wrong with our own catalog and what is rendered from it. `check_registrations` compares its suites."""
    return [*_reach(catalog), *_jobs(_known_labels(catalog), workflows)]


def _known_labels(catalog: Catalog) -> list[str]:
    return [*(row.label for row in catalog.labels), *catalog.actions.hosts.values()]


def _jobs(labels: Sequence[str], workflows: Sequence[TreeWorkflow]) -> Iterator[Problem]:
    """What is wrong with jobs by themselves: limits, labels, jobs that can never start."""
    for workflow in workflows:
        for job in workflow.jobs:
            yield from _limits(job)
            yield from _labels(job, labels)
            for found in find_blocked(workflow, job):
                yield Problem(where=f"{found.file}:{found.line}", what=found.what, hint=found.hint)


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


def _limits(job: TreeJob) -> Iterator[Problem]:
    if not job.limited and not job.uses:  # a called workflow has its own
        what = f"no limit: job {job.id} has no timeout-minutes"
        yield Problem(where=f"{job.file}:{job.line}", what=what, hint="GitHub's own is six hours")


def _labels(job: TreeJob, labels: Sequence[str]) -> Iterator[Problem]:
    for label in dict.fromkeys(cell.label for cell in job.cells):
        hosted = any(fnmatchcase(label, pattern) for pattern in _HOSTED)
        if label not in ("", ANY) and not hosted and not any(_fits(label, known) for known in labels):
            what = f"unknown label: {label!r} of job {job.id} is in no pool"
            yield Problem(where=f"{WORKFLOWS}/{job.label.source}", what=what, hint=closest(label, labels))


def _fits(label: str, known: str) -> bool:
    """Whether a label in which only a run knows some words can become one that exists."""
    pattern = "[a-z0-9]+".join(re.escape(part) for part in label.split(ANY))
    return re.fullmatch(pattern, known) is not None


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
