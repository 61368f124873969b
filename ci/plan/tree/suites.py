"""The suites of a checkout, as its own jobs run them: one row of our kind for each, with the place of every value.

A suite that several jobs run has the values of one of them, its lane: nightly suites that of a nightly workflow, others that
of the workflow that gates pull requests, with the ROCm version of that gate.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import EnvSet, EnvVariable, is_secret
from ci.catalog.registrations.parse import Registration
from ci.catalog.stages import Split, Suite
from ci.plan.tree.model import (
    ANY,
    CallKind,
    JobCell,
    TestCall,
    TreeFacts,
    TreeJob,
    TreeWorkflow,
    source_at,
)
from ci.plan.tree.stages import stage_for

__all__ = [
    "Lane",
    "TreeSuite",
    "job_suite_name",
    "lanes_of",
    "main_lane",
    "rocm_number",
    "suite_env",
    "suites_of_tree",
]

_GITHUB_LIMIT_MIN: Final = 360
_GITHUB: Final = "GitHub's own limit of 6 h: the job and its step have none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A job that runs a suite, by one of its cells and the first call of the suite in it."""

    workflow: TreeWorkflow
    job: TreeJob
    cell: JobCell
    call: TestCall


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSuite:
    """A suite as the tree runs it; `sources` are the places of its values by field, `ours` the row that we have for it.

    `lane` is None for a suite that no workflow runs. `env` are the variables of its command, None without any.
    """

    row: Suite
    ours: Suite | None
    lane: Lane | None
    label: str
    sources: Mapping[str, str]
    env: EnvSet | None = None
    lanes: tuple[Lane, ...] = field(default=(), compare=False)


def lanes_of(tree: TreeFacts) -> Mapping[str, tuple[Lane, ...]]:
    """Every job of AMD's that runs a suite, by the suite's name; a job that only runs files is a suite by its own id."""
    found: dict[str, list[Lane]] = {}
    for workflow in tree.workflows:
        for job in workflow.jobs:
            for cell in job.started if job.amd else ():
                for name, call in _suites_of(job, cell):
                    lanes = found.setdefault(name, [])
                    if not any(lane.job is job for lane in lanes):
                        lanes.append(Lane(workflow=workflow, job=job, cell=cell, call=call))
    return {name: tuple(lanes) for name, lanes in found.items()}


def _suites_of(job: TreeJob, cell: JobCell) -> Iterator[tuple[str, TestCall]]:
    calls = [call for call in cell.calls if call.kind is CallKind.SUITE and call.hardware in ("", "amd")]
    for call in calls:
        if ANY not in call.suite and "$" not in call.suite and call.suite:
            yield call.suite, call
    if not calls and cell.calls and all(call.kind is CallKind.FILES for call in cell.calls):
        yield job_suite_name(job.id), cell.calls[0]


def job_suite_name(job_id: str) -> str:
    """The name of a job without the ROCm version at its end."""
    name, dash, rocm = job_id.rpartition("-rocm")
    return name if dash and rocm.replace("_", "").replace(".", "").isdigit() else job_id


def main_lane(lanes: Sequence[Lane], gate_rocm: str) -> Lane:
    """The lane whose values a suite has."""

    def rank(lane: Lane) -> tuple[bool, bool, str]:
        gates = "pull_request" in lane.workflow.triggers
        rocm = lane.cell.container.rocm.value if lane.cell.container is not None else ""
        return gates is lane.call.nightly, rocm != gate_rocm, lane.workflow.file

    return min(lanes, key=rank)


def gate_rocm(tree: TreeFacts) -> str:
    """The ROCm version of most jobs that gate pull requests, e.g. `rocm700`; empty when it is not known."""
    counts = Counter(
        cell.container.rocm.value
        for workflow in tree.workflows
        if "pull_request" in workflow.triggers
        for job in workflow.jobs
        for cell in job.started
        if job.amd and cell.container is not None
    )
    return counts.most_common(1)[0][0] if counts else ""


def rocm_number(flavour: str) -> str:
    """`720` of `rocm720`."""
    return flavour.removeprefix("rocm")


def suites_of_tree(
    catalog: Catalog, tree: TreeFacts, registered: Iterable[Registration]
) -> tuple[TreeSuite, ...]:
    """The suites that the tree's jobs run, then those that are only registered, each with the row that follows."""
    lanes, gate = lanes_of(tree), gate_rocm(tree)
    ours = {suite.name: suite for suite in catalog.suites}
    found = [
        suite
        for name, each in lanes.items()
        if (suite := _of_lane(catalog, tree, name, main_lane(each, gate), ours.get(name))) is not None
    ]
    found = [replace(suite, lanes=lanes[suite.row.name]) for suite in found]
    names = {suite.row.name for suite in found} | set(ours)
    rows: dict[str, Registration] = {}
    for row in registered:
        if row.backend == "amd" and row.disabled is None:
            rows.setdefault(row.suite, row)
    found += [
        suite
        for name, row in rows.items()
        if name not in names and (suite := _registered_only(catalog, tree, row)) is not None
    ]
    return tuple(found)


def _of_lane(
    catalog: Catalog, tree: TreeFacts, name: str, lane: Lane, ours: Suite | None
) -> TreeSuite | None:
    call, cell = lane.call, lane.cell
    stage = ours.stage if ours is not None else stage_for(catalog, name)
    family = catalog.family_of(cell.hardware) if cell.hardware else (ours.family if ours is not None else "")
    gpus = cell.gpus if cell.gpus is not None else (ours.gpus if ours is not None else None)
    if not stage or not family or gpus is None:
        return None
    timeout_s, timeout_source = _timeout(lane)
    file_s, file_source = _per_file(tree, call, timeout_s)
    rocm = cell.container.rocm if cell.container is not None else None
    number = _rocm(catalog, rocm.value) if rocm is not None and rocm.value else (ours.rocm if ours else "")
    label = f"runs-on of {lane.job.source}"
    env = suite_env(catalog, call)
    sources = {
        "family": label,
        "gpus": label,
        "fabric": label,
        "shards": call.source,
        "timeout_s": timeout_source,
        "timeout_per_file_s": file_source,
        "nightly": call.source,
        "rocm": rocm.source if rocm is not None else lane.job.source,
        "env_sets": call.source,
        "attempts": call.source,
        "retry_wait_s": call.source,
        "files": call.source,
    }
    files = tuple(dict.fromkeys(file for each in cell.calls for file in each.files))
    wait_s = call.retry_wait_s
    if wait_s is None and call.attempts > 1 and tree.registry.defaults.retry_wait_s is not None:
        wait_s = tree.registry.defaults.retry_wait_s.value
    base = ours or Suite(
        id=name,
        stage=stage,
        name=name,
        family=family,
        gpus=gpus,
        shards=1,
        timeout_s=timeout_s,
        timeout_per_file_s=file_s,
        why="a suite of the checkout",
        source=call.source,
    )
    row = replace(
        base,
        family=family,
        gpus=gpus,
        fabric="fabric" in cell.label,
        shards=call.parts or 1,
        split=Split.SGLANG,
        timeout_s=timeout_s,
        timeout_per_file_s=file_s,
        nightly=call.nightly if call.kind is CallKind.SUITE else _is_nightly(lane.workflow),
        rocm=number,
        env_sets=(env.id,) if env is not None else (),
        files=files if call.kind is CallKind.FILES else (),
        attempts=call.attempts,
        retry_wait_s=wait_s or 0,
    )
    return TreeSuite(row=row, ours=ours, lane=lane, label=cell.label, sources=sources, env=env)


def _is_nightly(workflow: TreeWorkflow) -> bool:
    """Whether files without a suite belong to the nightly runs: no pull request starts them."""
    return "schedule" in workflow.triggers and "pull_request" not in workflow.triggers


def _rocm(catalog: Catalog, flavour: str) -> str:
    """A version of ROCm as a suite's row names it: empty for the default one."""
    number = rocm_number(flavour)
    return "" if number == catalog.images.default_flavour.rocm else number


def _timeout(lane: Lane) -> tuple[float, str]:
    """The limit of a part, in seconds: the step's, else the job's, else GitHub's own."""
    call, job = lane.call, lane.job
    if call.step_timeout_min is not None:
        return 60 * call.step_timeout_min, f"{source_at(call.file, call.step_line)}: the step's"
    if job.timeout_min is not None:
        return 60 * job.timeout_min, f"{job.source}: the job's"
    return 60.0 * _GITHUB_LIMIT_MIN, _GITHUB


def _per_file(tree: TreeFacts, call: TestCall, timeout_s: float) -> tuple[float, str]:
    """The limit of a file, in seconds, which never exceeds that of its part."""
    limit, source = call.timeout_per_file_s, call.source
    default = tree.registry.defaults.timeout_per_file_s
    if limit is None and call.kind is CallKind.SUITE and default is not None:
        limit, source = default.value, f"{default.source}: run_suite.py's default"
    if limit is None or limit > timeout_s:
        return timeout_s, f"{source_at(call.file, call.step_line)}: no more than its part has"
    increase = call.retry_timeout_increase_s
    if call.attempts > 1 and increase is None and tree.registry.defaults.retry_timeout_increase_s is not None:
        increase = tree.registry.defaults.retry_timeout_increase_s.value
    more = (increase or 0) if call.attempts > 1 else 0
    return min(limit + more, timeout_s), f"{source}, and {more:g} s more for a retry" if more else source


def suite_env(catalog: Catalog, call: TestCall) -> EnvSet | None:
    """The variables of a command; those of Actions itself, and what only a run can tell, are none of the tests'."""
    variables = tuple(
        EnvVariable(name=name, value=value, why="given by the job's command", place=call.source)
        for name, value in dict(call.env).items()
        if not name.startswith("GITHUB_")
        and ANY not in value
        and "$" not in value
        and not is_secret(name, catalog.secrets)
    )
    return EnvSet(id=f"the tree's {call.source}", variables=variables) if variables else None


def _registered_only(catalog: Catalog, tree: TreeFacts, row: Registration) -> TreeSuite | None:
    """A suite that no workflow runs: its hardware by the words of its name."""
    stage = stage_for(catalog, row.suite)
    if not stage:
        return None
    source = source_at(row.file, row.line)
    default = tree.registry.defaults.timeout_per_file_s
    families = catalog.hardware.families
    family = next((family for family in families if family in row.suite), families[0])
    gpus = next((int(word) for word in row.suite.split("-") if word.isdecimal()), 1)
    guess = f"{source}: by the suite's name, no workflow runs it"
    suite = Suite(
        id=row.suite,
        stage=stage,
        name=row.suite,
        family=family,
        gpus=gpus,
        shards=1,
        timeout_s=60.0 * _GITHUB_LIMIT_MIN,
        timeout_per_file_s=default.value if default is not None else 60.0 * _GITHUB_LIMIT_MIN,
        nightly=row.nightly,
        why="registered in the checkout, run by no workflow of it",
        source=source,
    )
    sources = {
        "family": guess,
        "gpus": guess,
        "timeout_s": "no workflow runs it: GitHub's own limit of 6 h",
        "timeout_per_file_s": default.source if default is not None else source,
        "nightly": source,
        "shards": "no workflow runs it: one part",
    }
    return TreeSuite(row=suite, ours=None, lane=None, label=_smallest(catalog, family, gpus), sources=sources)


def _smallest(catalog: Catalog, family: str, gpus: int) -> str:
    """The label of the smallest runner that has enough GPUs; empty when none has."""
    fitting = [
        row
        for row in catalog.labels
        if row.gpus >= gpus and catalog.family_of(catalog.pools[row.pool].hardware) == family
    ]
    return min(fitting, key=lambda row: row.gpus).label if fitting else ""
