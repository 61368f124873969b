"""Workflows by themselves: permissions, gates, and jobs that cannot start."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ci.catalog.toml_reader import closest
from ci.plan.outages.model import CheckedTree, Finding, FindingKind
from ci.plan.tree.model import JobCell, TreeFacts, TreeJob, TreeWorkflow, WaitStep, source_at

__all__ = ["find_blocked", "find_workflow_faults"]

_LEVELS: Final = {"none": 0, "read": 1, "write": 2}
_EVERY: Final = "*"
_STAGE: Final = re.compile(r"[a-z]+-[a-z](?=-)")
_NEVER: Final = re.compile(r"(?:\$\{\{)?\s*false\s*(?:\}\})?", re.IGNORECASE)


def find_workflow_faults(tree: CheckedTree) -> Iterator[Finding]:
    """What keeps jobs of AMD's from starting, or lets others start too early."""
    ours = [each for each in tree.facts.workflows if any(job.amd for job in each.jobs)]
    for workflow in ours:
        yield from _permissions(tree.facts, workflow, None, ())
        for job in workflow.jobs:
            yield from (
                each
                for each in find_blocked(workflow, job)
                if job.amd or each.kind is not FindingKind.JOB_OFF
            )
            yield from _waits(workflow, job)
            yield from _last(workflow, job) if _is_last(workflow, job) else _stages(workflow, job)


# --- permissions ------------------------------------------------------------------------------------------------------


def _permissions(
    facts: TreeFacts,
    workflow: TreeWorkflow,
    granted: Mapping[str, str] | None,
    callers: tuple[str, ...],
    caller: TreeJob | None = None,
) -> Iterator[Finding]:
    """What a workflow and those that it calls ask for, against what they are granted; None where nobody says."""
    if workflow.file in callers:
        return
    for job in workflow.jobs:
        wanted = job.permissions if job.permissions is not None else workflow.permissions
        if caller is not None and granted is not None and wanted is not None:
            more = ", ".join(_beyond(wanted, granted))
            if more:
                given = ", ".join(f"{name}: {level}" for name, level in granted.items()) or "nothing"
                what = f"{workflow.file.rpartition('/')[2]} asks for {more} in job {job.id}, its caller {caller.id} grants {given}"
                hint = f"{'the job' if job.permissions is not None else 'the workflow'} asks for it; GitHub refuses the whole run"
                yield Finding(
                    kind=FindingKind.PERMISSIONS, file=caller.file, line=caller.line, what=what, hint=hint
                )
                if job.permissions is None:  # the same for every other job
                    return
        inner = facts.workflow(job.uses) if job.uses.startswith("./") else None
        if inner is not None:
            passed = wanted if wanted is not None else granted
            yield from _permissions(facts, inner, passed, (*callers, workflow.file), job)


def _beyond(wanted: Mapping[str, str], granted: Mapping[str, str]) -> Iterator[str]:
    every = _LEVELS.get(granted.get(_EVERY, "none"), 0)
    for name, level in wanted.items():
        allowed = max(every, _LEVELS.get(granted.get(name, "none"), 0))
        if name == _EVERY:
            allowed = every
        if _LEVELS.get(level, 0) > allowed:
            yield f"{'everything' if name == _EVERY else name}: {level}"


# --- jobs that cannot start -------------------------------------------------------------------------------------------


def find_blocked(workflow: TreeWorkflow, job: TreeJob) -> Iterator[Finding]:
    """What keeps a job from ever starting."""
    jobs = {each.id: each for each in workflow.jobs}
    for name in job.needs:
        if name not in jobs:
            what = f"job {job.id} needs {name!r}, which is no job: GitHub refuses the workflow"
            yield _of_job(FindingKind.JOB_BLOCKED, job, what, closest(name, jobs))
    if job.id in _before(job.id, jobs):
        yield _of_job(FindingKind.JOB_BLOCKED, job, f"job {job.id} needs itself", "break the circle")
    if _NEVER.fullmatch(job.condition):
        yield _of_job(FindingKind.JOB_OFF, job, f"the condition of job {job.id} is never true", "")


def _before(name: str, jobs: Mapping[str, TreeJob]) -> set[str]:
    """Every job that must have ended before `name`, by needs and by waits; itself among them when there is a circle."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        job = jobs.get(pending.pop())
        if job is None:
            continue
        waited = [each.id for each in jobs.values() for wait in job.waits if _fits(wait, each)]
        for earlier in (*job.needs, *waited):
            if earlier not in seen:
                seen.add(earlier)
                pending.append(earlier)
    return seen


# --- gates ------------------------------------------------------------------------------------------------------------


def _fits(wait: WaitStep, job: TreeJob) -> bool:
    """Whether a step waits for jobs of that name: its own, or followed by a blank, as Actions shows a matrix."""
    names = {job.id, *(cell.name for cell in job.started)} if not job.written_name else _shown(job.started)
    return any(name == wait.prefix or name.startswith(f"{wait.prefix} ") for name in names)


def _shown(cells: Sequence[JobCell]) -> set[str]:
    return {cell.name for cell in cells}


def _waits(workflow: TreeWorkflow, job: TreeJob) -> Iterator[Finding]:
    """Counts that are not those of the matrix, and names that no job has."""
    for wait in job.waits:
        fitting = [each for each in workflow.jobs if _fits(wait, each)]
        sizes = [each.size for each in fitting]
        if not fitting:
            what = f"job {job.id} waits for {wait.prefix!r}, which is no job: it waits until its limit"
            hint = closest(wait.prefix, [each.id for each in workflow.jobs])
        elif None not in sizes and not any(each.uses for each in fitting):
            count = sum(size or 0 for size in sizes)
            if count == wait.expected:
                continue
            what = f"job {job.id} waits for {wait.expected} of {wait.prefix}, whose matrix makes {count}"
            hint = "the others are not waited for" if wait.expected < count else "it waits until its limit"
        else:
            continue
        yield Finding(kind=FindingKind.GATE_INCOMPLETE, file=job.file, line=wait.line, what=what, hint=hint)


def _stages(workflow: TreeWorkflow, job: TreeJob) -> Iterator[Finding]:
    """Jobs of a stage that a later one, or the last job, does not wait for although it waits for others of it."""
    jobs = {each.id: each for each in workflow.jobs}
    direct = [jobs[name] for name in job.needs if name in jobs]
    direct += [each for each in workflow.jobs if any(_fits(wait, each) for wait in job.waits)]
    stages: dict[str, list[TreeJob]] = defaultdict(list)
    for each in workflow.jobs:
        if each.amd and (found := _STAGE.match(each.id)):
            stages[found[0]].append(each)
    own = _STAGE.match(job.id)
    before = _before(job.id, jobs)
    for stage, members in stages.items():
        if (own is not None and own[0] == stage) or not any(each in members for each in direct):
            continue
        missing = [each for each in _on(members) if each.id not in before]
        if missing:
            names = ", ".join(each.id for each in missing)
            what = f"job {job.id} waits for {len(members) - len(missing)} of the {len(members)} jobs of {stage}, not for {names}"
            line = job.waits[0].line if job.waits else job.line
            hint = f"e.g. {source_at(missing[0].file, missing[0].line)}"
            yield Finding(kind=FindingKind.GATE_INCOMPLETE, file=job.file, line=line, what=what, hint=hint)


def _is_last(workflow: TreeWorkflow, job: TreeJob) -> bool:
    """Whether a job tells the result of a pull request: it always runs, and needs most of AMD's jobs."""
    amd = {each.id for each in workflow.jobs if each.amd}
    gates = "pull_request" in workflow.triggers and "always()" in job.condition and not job.amd
    return gates and 2 * len(amd & set(job.needs)) > len(amd)


def _last(workflow: TreeWorkflow, job: TreeJob) -> Iterator[Finding]:
    missing = [each for each in _on(workflow.jobs) if each.amd and each.id not in job.needs]
    if missing:
        names = ", ".join(each.id for each in missing)
        what = f"job {job.id} tells the result of the whole workflow, and does not need {names}"
        yield _of_job(FindingKind.GATE_INCOMPLETE, job, what, "it passes when they fail")


def _on(jobs: Sequence[TreeJob]) -> list[TreeJob]:
    return [job for job in jobs if not _NEVER.fullmatch(job.condition)]


def _of_job(kind: FindingKind, job: TreeJob, what: str, hint: str) -> Finding:
    return Finding(kind=kind, file=job.file, line=job.line, what=what, hint=hint)
