"""A saved plan again: on this machine, only some of its tests, or at another commit."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import fields, replace

from ci.catalog.catalog import Catalog
from ci.errors import Problem, UsageError
from ci.plan.container.needs import ContainerWork
from ci.plan.engine_build import EngineWork
from ci.plan.executor import Needs
from ci.plan.facts import DockerFacts, Facts
from ci.plan.model import Plan, SuiteWork
from ci.plan.registry import EXECUTORS
from ci.plan.request import Request
from ci.system.codec import canonical

__all__ = ["at_commit", "needs_again", "only_tests", "place_again"]

_SAME_COMMIT = "git checkout the plan's commit"
_SAME_CONTAINER = f"{_SAME_COMMIT}, on a machine with the same mounts"


def needs_again(catalog: Catalog, request: Request, saved: Plan) -> Needs:
    """What a saved plan needs where its tests run; its image is the plan's.

    Raises:
        UsageError: another executor is requested, or the plan's container has no row here.
    """
    executor = saved.placement.executor
    if request.executor not in (None, executor):
        raise UsageError(
            f"--executor {request.executor}, but the plan is of {executor}",
            cause="a plan is run as it is, or made again",
            then=f"leave out --executor, or make the plan again with --executor {request.executor}",
        )
    named = {suite.id for suite in saved.work.suites}
    return Needs(
        request=request,
        executor=executor,
        engine=saved.work.engine,
        suites=tuple(suite for suite in catalog.suites_of(saved.work.stage) if suite.id in named),
        container=EXECUTORS[executor].need_again(catalog, saved),
    )


def place_again(
    catalog: Catalog, facts: Facts, needs: Needs, saved: Plan, found: DockerFacts | None = None
) -> Plan:
    """A saved plan on this machine: the same work, or a refusal that says what would not be the same.

    Raises:
        UsageError: commit, checkout, hardware class, engine version or container differ from the plan's.
        InfrastructureError: the engine is not installed here.
    """
    planning = EXECUTORS[needs.executor]
    part = planning.part(catalog, facts, needs, found)
    work = saved.work
    checkout = facts.checkout.text if facts.checkout is not None else ""
    here = facts.engine_build
    commit = work.commit.partition("+")[0]
    pairs = (
        ("commit", work.commit, facts.commit.text, f"git checkout {commit}"),
        ("checkout", work.checkout, checkout, "check out the tree's commit"),
        ("hardware class", work.hardware_class, facts.hardware_class, "run it on that hardware"),
        ("engine version", work.engine_version, part.engine.engine_version, "install that version"),
        *_pairs("engine_build", work.engine_build, here.work if here is not None else None, _SAME_COMMIT),
        *_pairs("container", work.container, part.container, _SAME_CONTAINER),
    )
    problems = [
        Problem(where=name, what=f"the plan says {planned}, here it is {here}", hint=hint)
        for name, planned, here, hint in pairs
        if planned != here
    ]
    if problems:
        raise UsageError(
            "the plan cannot be repeated as it is", problems=problems, then="nox -s plan -- --diff A B"
        )
    placement = replace(
        saved.placement,
        root=facts.root,
        runs_dir=facts.runs_dir,
        python=part.engine.python,
        python_version=part.engine.python_version,
        host=facts.host,
        user=facts.user,
        gpu_ids=planning.gpu_ids(facts),
        event=facts.event.text,
        pass_through=part.pass_through,
        container=part.place,
        engine_build=facts.engine_build.place if facts.engine_build is not None else None,
        command=needs.request.command,
    )
    return replace(saved, placement=placement)


def _pairs(
    name: str, was: ContainerWork | EngineWork | None, here: ContainerWork | EngineWork | None, hint: str
) -> Iterator[tuple[str, str, str, str]]:
    if was is None or here is None:
        return
    for field in fields(was):
        planned, now = (canonical(getattr(work, field.name)) for work in (was, here))
        yield f"{name}.{field.name}", planned, now, hint


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
    return replace(plan, work=replace(plan.work, suites=suites, container=container))


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
