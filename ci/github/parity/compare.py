"""Parity: for each job of a full run, does Actions do what the same command does on a machine with that hardware?

Both sides are planned by the same code that plans a run, from the environment that each would have; everything in which
the plans differ is compared with the allow-list of `parity.toml`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.catalog.stages import Suite
from ci.errors import CiError, Problem
from ci.github.matrix import Job
from ci.github.parity.stage_job import StageJob, read_stage_job
from ci.plan.compare.diff import compare
from ci.plan.model import Plan
from ci.plan.route import label_of

__all__ = ["NOTHING", "Gap", "Parity", "PlanOf", "Side", "check_parity", "plan_or_reason"]

NOTHING: Final = "nothing to run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: a session with its options, the environment that it is started in, and the hardware there."""

    session: str
    options: tuple[str, ...]
    environ: Mapping[str, str]
    hardware: str
    in_actions: bool


# None: the side would run nothing
PlanOf = Callable[[Side], Plan | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A field in which a job differs from the machine's command; `allowed` is the row's reason, empty for a fault."""

    job: str
    path: str
    machine: str
    actions: str
    allowed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Everything that was compared: jobs, plan digests by job, gaps, and allow-list rows that nothing needed.

    `without_tests` are suites of which neither side would run anything.
    """

    jobs: tuple[str, ...]
    digests: Mapping[str, str]
    gaps: tuple[Gap, ...]
    unused: tuple[str, ...]
    without_tests: tuple[str, ...]

    @property
    def faults(self) -> tuple[Gap, ...]:
        """The gaps that no row allows."""
        return tuple(gap for gap in self.gaps if not gap.allowed)


def check_parity(
    catalog: Catalog,
    stage_text: str,
    jobs: Mapping[str, Sequence[Job]],
    suites: Sequence[Suite],
    plan_of: PlanOf,
    tree: str = "",
) -> Parity:
    """Compare every job of full runs, by event.

    Args:
        catalog: for labels, limits and the allow-list.
        stage_text: the stage workflow as it is in the checkout.
        jobs: the jobs of a full run of each event.
        suites: those that a full run has to cover.
        plan_of: plans a side; it raises what planning raises.
        tree: the SGLang tree whose tests are run; empty: this repository's.
    """
    gaps: list[Gap] = []
    digests: dict[str, str] = {}
    named: list[str] = []
    ran: set[str] = set()

    def note(job: str, path: str, machine: object, actions: object) -> None:
        row = catalog.parity.allows(path)
        gaps.append(
            Gap(
                job=job, path=path, machine=str(machine), actions=str(actions), allowed=row.why if row else ""
            )
        )

    for event, planned in jobs.items():
        covered: dict[str, list[str]] = {}
        for job in planned:
            title = f"{event}: {job.name}"
            named.append(title)
            problems: list[Problem] = []
            real = read_stage_job(stage_text, asdict(job), {"tree": tree}, problems, where="amd-stage.yml")
            for problem in problems:
                note(title, "workflow", "", problem)
            if real is None:
                continue
            suite = _suite_of(catalog, suites, job)
            if suite is None:
                note(title, "job.suite", "a suite of the workflow", f"{job.session} {job.suite}")
                continue
            for path, machine, actions in _job_gaps(catalog, suite, job, real, event):
                note(title, path, machine, actions)
            sides = _machine(catalog, job, tree), _actions(catalog, job, real, event)
            here, there = (plan_or_reason(plan_of, side) for side in sides)
            if isinstance(here, str) or isinstance(there, str):
                note(
                    title,
                    "plan",
                    here if isinstance(here, str) else "a plan",
                    there if isinstance(there, str) else "a plan",
                )
                continue
            digests[title] = there.digest
            for difference in compare(here, there):
                note(title, difference.path, difference.left, difference.right)
            ran.add(suite.name)
            covered.setdefault(suite.name, []).extend(
                test.id for one in there.work.suites for test in one.tests
            )
        for suite in suites:
            for path, machine, actions in _coverage(
                catalog, suite, covered.get(suite.name, []), event, plan_of, tree
            ):
                note(f"{event}: {suite.name}", path, machine, actions)
    used = {gap.path for gap in gaps}
    unused = tuple(
        row.path
        for row in catalog.parity.allowed
        if not any(catalog.parity.allows(path) is row for path in used)
    )
    return Parity(
        jobs=tuple(named),
        digests=digests,
        gaps=tuple(gaps),
        unused=unused,
        without_tests=tuple(suite.name for suite in suites if suite.name not in ran),
    )


def plan_or_reason(plan_of: PlanOf, side: Side) -> Plan | str:
    """The plan of a side, or what keeps it from having one."""
    try:
        return plan_of(side) or NOTHING
    except CiError as error:
        return "; ".join([error.what, *map(str, error.problems)])


def _suite_of(catalog: Catalog, suites: Iterable[Suite], job: Job) -> Suite | None:
    return next(
        (
            suite
            for suite in suites
            if suite.id == job.suite and catalog.stage(suite.stage).session == job.session
        ),
        None,
    )


def _of_tree(tree: str) -> tuple[str, ...]:
    return ("--checkout", tree) if tree else ()


def _machine(catalog: Catalog, job: Job, tree: str) -> Side:
    """The command on a machine of that hardware.

    The image is the run's, which no machine knows by itself. Whether the machine has the cache follows from switches here,
    and from the runner's name in Actions.
    """
    options = ("--executor", ExecutorKind.DOCKER, "--suite", job.suite, "--shard", job.shard, *_of_tree(tree))
    environ = {"AMD_CI_IMAGE": job.image} if job.image else {}
    for mount in catalog.containers.mounts.values():
        if mount.switch:
            named = not mount.default_on or any(word in job.runner for word in mount.default_on)
            environ[mount.switch] = "1" if named else "0"
    return Side(
        session=job.session, options=options, environ=environ, hardware=job.hardware, in_actions=False
    )


def _actions(catalog: Catalog, job: Job, real: StageJob, event: str) -> Side:
    """What the runner starts; its hardware is that of the label that the job is sent to, its name begins with the label."""
    runner = {
        **catalog.parity.variables,
        "GITHUB_EVENT_NAME": event,
        "RUNNER_NAME": f"{real.runner}-runner",
    }
    environ = {name: value for name, value in {**runner, **real.env}.items() if value}
    label = next((row for row in catalog.labels if row.label == real.runner), None)
    hardware = catalog.pools[label.pool].hardware if label is not None else job.hardware
    return Side(
        session=real.session, options=real.options, environ=environ, hardware=hardware, in_actions=True
    )


def _job_gaps(
    catalog: Catalog, suite: Suite, job: Job, real: StageJob, event: str
) -> Iterator[tuple[str, object, object]]:
    """What is not in a plan: runner, limits, name, and variables that would reach the tests past it."""
    label = label_of(catalog, suite, event)
    wanted: tuple[tuple[str, object, object], ...] = (
        ("job.runner", label.label, real.runner),
        ("job.hardware", catalog.pools[label.pool].hardware, job.hardware),
        ("job.shards", suite.shards, int(job.shard.partition("/")[2])),
        ("job.rocm", suite.rocm or catalog.actions.images[0].rocm, job.rocm),
        ("job.timeout-minutes", catalog.actions.job_limit_min(suite.timeout_s), real.job_limit_min),
        ("job.step.timeout-minutes", catalog.actions.step_limit_min(suite.timeout_s), real.step_limit_min),
        ("job.name", _name(suite, label.label, job), real.name),
    )
    for path, machine, actions in wanted:
        if machine != actions:
            yield path, machine, actions
    passed = {name for row in catalog.pass_through for name in row.names}
    prefixes = tuple(prefix for row in catalog.pass_through for prefix in row.prefixes) or ("\0",)
    in_sets = {variable.name for row in catalog.env_sets.values() for variable in row.variables}
    secrets = {row.id for row in catalog.actions.secrets if "stage" in row.kinds}
    for name, value in real.env.items():
        if name in in_sets or name in passed or name.startswith(prefixes):
            yield f"job.env.{name}", "not set by a workflow", value
    for name in real.secrets:
        if name not in secrets:
            yield f"job.secrets.{name}", "no row of actions.toml gives it to stages", "set"


def _name(suite: Suite, label: str, job: Job) -> str:
    part = f", {job.shard}" if suite.shards > 1 else ""
    return f"{suite.name} ({label}{part})"


def _coverage(
    catalog: Catalog, suite: Suite, covered: Sequence[str], event: str, plan_of: PlanOf, tree: str
) -> Iterator[tuple[str, object, object]]:
    """All jobs of a suite together run what the suite run whole would: no test is lost, none runs twice."""
    hardware = catalog.pools[label_of(catalog, suite, event).pool].hardware
    session = catalog.stage(suite.stage).session
    options = ("--executor", ExecutorKind.DOCKER, "--suite", suite.id, *_of_tree(tree))
    whole = plan_of(Side(session=session, options=options, environ={}, hardware=hardware, in_actions=False))
    wanted = sorted(test.id for one in whole.work.suites for test in one.tests) if whole is not None else []
    if wanted != sorted(covered):
        lost = sorted(set(wanted) - set(covered))
        doubled = sorted({test for test in covered if covered.count(test) > 1})
        words = [f"not run: {', '.join(lost)}"] if lost else []
        words += [f"run twice: {', '.join(doubled)}"] if doubled else []
        yield "suite.tests", f"{len(wanted)} tests", "; ".join(words) or "other tests"
