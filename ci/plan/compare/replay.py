"""A saved plan again: checked against what its request gives here, only some of its tests, or at another commit."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.errors import Problem, UsageError
from ci.plan.compare.diff import compare
from ci.plan.container.needs import ContainerWork
from ci.plan.draft import Draft
from ci.plan.facts import DockerFacts, Facts
from ci.plan.make import make_plan
from ci.plan.model import Plan, SuiteWork, planned_again
from ci.plan.registry import EXECUTOR_OPTIONS, EXECUTORS
from ci.plan.request import Request, given

__all__ = [
    "at_commit",
    "draft_again",
    "made_again",
    "only_tests",
    "placing_words",
    "request_again",
    "verified",
]

_WORK = "work."
# of a plan that was edited in many places the first are enough
_SHOWN = 20
_SHOWN_CHARS = 100
_CHECK_OUT = "git checkout"
_HINTS = {
    "commit": "check out that commit",
    "checkout": "check out that commit of the tree",
    "content": "files that git does not show: git status --ignored; the engine's and pytest's packages",
    "hardware_class": "run it on that hardware",
    "engine_version": "install that version",
    "engine_build": "the environment is of other pins, was changed, or --python is missing",
    "container": "run it on a machine with the same mounts",
    "quarantine": "rows hold from day to day",
}


def request_again(request: Request, saved: Plan) -> Request:
    """What was asked for a saved plan, with the options of this call that decide no verdict: it may be repeated elsewhere.

    Raises:
        UsageError: an option has no effect with the executor.
    """
    executor = request.executor or saved.placement.executor
    _refuse_without_effect(request, executor)
    place = saved.placement.slurm
    cluster = request.cluster or (place.cluster if place is not None and _is_on_cluster(executor) else "")
    same = place is not None and place.cluster == cluster
    return replace(
        saved.request,
        stage=saved.work.stage,
        hardware=saved.work.hardware_class,
        engine=saved.work.engine,
        executor=executor,
        cluster=cluster,
        nodes=request.nodes or (place.nodes if place is not None and same else 0),
        keep=request.keep,
        strict=request.strict,
        exclusive_host=request.exclusive_host,
        command=request.command,
    )


def placing_words(saved: Plan, executor: ExecutorKind | None) -> tuple[str, ...]:
    """The options that say where a saved plan is repeated: by `executor` if one is named, else on this machine where that can be."""
    place = saved.placement.slurm
    in_runtime = place is not None and bool(place.runtime_argv)  # its container is none of Docker's
    if executor is None and _is_on_cluster(saved.placement.executor) and not in_runtime:
        # what has the same work here
        executor = ExecutorKind.DOCKER if saved.work.container is not None else ExecutorKind.HOST
    return ("--executor", executor) if executor is not None else ()


def _is_on_cluster(executor: ExecutorKind) -> bool:
    return EXECUTORS[executor].ON_CLUSTER


def _refuse_without_effect(request: Request, executor: ExecutorKind) -> None:
    problems = [
        Problem(where=option, what=f"has no effect: the plan is run by {executor}")
        for option in given(request, EXECUTOR_OPTIONS)
        if option not in EXECUTORS[executor].OPTIONS
    ]
    if problems:
        raise UsageError(
            "invalid options", problems=problems, then="leave them out, or name the executor: --executor NAME"
        )


def draft_again(catalog: Catalog, draft: Draft, saved: Plan) -> Draft:
    """The draft with the image of a saved plan: none is looked for again.

    Raises:
        UsageError: the plan's container has no row here, or one of the two runs in a container and the other does not.
    """
    executor, work = draft.needs.executor, saved.work
    if (draft.needs.container is None) != (work.container is None):
        here, there = ("without", "in") if draft.needs.container is None else ("in", "without")
        raise UsageError(
            f"with --executor {executor} the tests run {here} a container, those of the plan run {there} one",
            cause="the image decides verdicts: it is a part of the plan's work",
            then=f"leave out --executor, or {planned_again(work.stage)} with --executor {executor}",
        )
    container = EXECUTORS[executor].need_again(catalog, saved)
    return replace(draft, needs=replace(draft.needs, container=container))


def made_again(
    catalog: Catalog, facts: Facts, draft: Draft, saved: Plan, found: DockerFacts | None = None
) -> Plan:
    """The plan of a draft, with only the part of it that the saved plan has.

    Raises:
        UsageError: the draft has not all of that part.
    """
    fresh = make_plan(catalog, facts, draft, found)
    fresh = replace(fresh, sources={**fresh.sources, **_saved_sources(saved, fresh)})
    return only_tests(catalog, fresh, saved.part) if saved.part else fresh


def _saved_sources(saved: Plan, fresh: Plan) -> Mapping[str, str]:
    """The sources of what was not asked for in this call: the allocation as it was."""
    there, here = saved.placement.slurm, fresh.placement.slurm
    if there is None or here is None or there.cluster != here.cluster:
        return {}
    names = ("cluster", "nodes") if there.nodes == here.nodes else ("cluster",)
    return {f"placement.slurm.{name}": "the saved plan" for name in names}


def verified(saved: Plan, fresh: Plan, *, as_saved: bool) -> Plan:
    """The plan that its request gives here and now, when a saved one is the same; `as_saved` takes the saved one anyway.

    Raises:
        UsageError: they differ, with every field; or the saved one has roles that have no node and ports here.
    """
    rows = [row for row in compare(saved, fresh) if row.path.startswith(_WORK)]
    if not rows:
        return fresh
    problems = [
        Problem(
            where=row.path.removeprefix(_WORK),
            what=f"the plan says {_short(row.left)}, here it is {_short(row.right)}",
            hint=_HINTS.get(row.path.removeprefix(_WORK).partition(".")[0], ""),
        )
        for row in rows
    ]
    if as_saved:
        _refuse_without_place(saved, fresh)
        return replace(fresh, work=saved.work, part=saved.part, unverified=tuple(map(str, problems)))
    moved = [problem for problem in problems if problem.where in ("commit", "checkout")]
    if moved:
        others = len(problems) - len(moved)
        raise UsageError(
            "the plan is of another commit, and cannot be repeated here",
            problems=moved,
            cause=f"{others} other fields differ, which may follow from that" if others else "",
            then=f"{_checkout(saved, moved)}; or run it here as it is: add --as-saved",
        )
    more = (
        [Problem(where="and", what=f"{len(problems) - _SHOWN} more fields")] if len(problems) > _SHOWN else []
    )
    raise UsageError(
        "the plan is not what its own request gives here",
        problems=[*problems[:_SHOWN], *more],
        cause="it was edited, or this machine or its files are not as they were",
        then=f"{planned_again(saved.work.stage)}; or run it as it is, UNVERIFIED: add --as-saved",
    )


def _refuse_without_place(saved: Plan, fresh: Plan) -> None:
    placed = {(place.suite, place.role) for place in fresh.placement.roles}
    problems = [
        Problem(where=suite.id, what=f"the role {role.role} has no node and ports here")
        for suite in saved.work.suites
        for role in suite.roles
        if (suite.id, role.role) not in placed
    ]
    if problems:
        raise UsageError(
            "the plan cannot be run as it is",
            problems=problems,
            cause="the roles of its suites have changed since",
            then=f"{planned_again(saved.work.stage)}; or {_CHECK_OUT} {saved.work.commit.partition('+')[0]}",
        )


def _checkout(saved: Plan, moved: Iterable[Problem]) -> str:
    """How to have the plan's commit."""
    if any(problem.where == "commit" for problem in moved):
        return f"{_CHECK_OUT} {saved.work.commit.partition('+')[0]}"
    return f"git -C {saved.placement.root or 'SGLANG_TREE'} checkout {saved.work.checkout.partition('+')[0]}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def only_tests(catalog: Catalog, plan: Plan, wanted: Iterable[tuple[str, str]]) -> Plan:
    """The plan with only these tests, and only the suites that have one of them, with the preflights of these.

    `wanted` are suites, empty for each that has the test, and files or node ids.

    Raises:
        UsageError: one of them is not in the plan.
    """
    chosen: dict[str, dict[str, list[str]]] = {}
    unknown: list[str] = []
    for suite_id, node in wanted:
        file = node.partition("::")[0]
        having = [
            suite.id
            for suite in plan.work.suites
            if suite_id in ("", suite.id) and any(test.id == file for test in suite.tests)
        ]
        for name in having:
            chosen.setdefault(name, {}).setdefault(file, []).append(node)
        if not having:
            unknown.append(node)
    if unknown:
        problems = [Problem(where=node, what="is not in the plan") for node in unknown]
        raise UsageError("the failed tests are not in the plan", problems=problems, then="leave out --failed")

    def part(suite: SuiteWork) -> SuiteWork:
        nodes = chosen.get(suite.id, {})
        tests = tuple(
            test if test.id in nodes[test.id] else replace(test, cases=tuple(dict.fromkeys(nodes[test.id])))
            for test in suite.tests
            if test.id in nodes
        )
        return replace(suite, tests=tests)

    suites = tuple(kept for suite in plan.work.suites if (kept := part(suite)).tests)
    container = _without_preflights_of_others(catalog, plan, {suite.id for suite in suites})
    nodes = tuple(
        (suite.id, node) for suite in suites for test in suite.tests for node in test.cases or (test.id,)
    )
    return replace(plan, work=replace(plan.work, suites=suites, container=container), part=nodes)


def _without_preflights_of_others(catalog: Catalog, plan: Plan, kept: Container[str]) -> ContainerWork | None:
    """The plan's container; a preflight that only suites which are left out have is left out too."""
    container = plan.work.container
    if container is None:
        return None
    rows = catalog.suites_of(plan.work.stage)
    needed = {suite.preflight for suite in rows if suite.id in kept}
    others = {suite.preflight for suite in rows} - needed
    preflights = tuple(row for row in container.preflights if row.id not in others)
    return replace(container, preflights=preflights)


def at_commit(plan: Plan, commit: str, root: str) -> Plan:
    """The same plan for another commit of the tree that its tests are of; `root` is where that tree is."""
    if plan.work.checkout:
        return replace(
            plan,
            work=replace(plan.work, checkout=commit),
            placement=replace(plan.placement, root=root),
        )
    return replace(plan, work=replace(plan.work, commit=commit))
