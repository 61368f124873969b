"""A saved plan again: on this machine, only some of its tests, or at another commit."""

from collections.abc import Iterable
from dataclasses import fields, replace

from ci.catalog.catalog import Catalog
from ci.errors import InfrastructureError, Problem, UsageError
from ci.plan.container.needs import ContainerPlace, ContainerWork, Need
from ci.plan.container.plan import container_place, container_work, docker_facts
from ci.plan.environment import pass_through_names
from ci.plan.facts import Facts
from ci.plan.model import Plan, SuiteWork, canonical
from ci.plan.request import Request

__all__ = ["at_commit", "only_tests", "place_again"]


def place_again(catalog: Catalog, facts: Facts, request: Request, saved: Plan) -> Plan:
    """A saved plan on this machine: the same work, or a refusal that says what would not be the same.

    Raises:
        UsageError: commit, checkout, hardware class or engine version differ from the plan's.
        InfrastructureError: the engine is not installed here.
    """
    engine = facts.engines.get(saved.work.engine)
    if engine is None:
        package = catalog.engines[saved.work.engine].package
        what = f"the plan's engine {saved.work.engine} is not installed here"
        raise InfrastructureError(what, cause=f"no python3 with {package!r} was found", then="--python PATH")
    problems = []
    checkout = facts.checkout.text if facts.checkout is not None else ""
    pairs = (
        (
            "commit",
            saved.work.commit,
            facts.commit.text,
            f"git checkout {saved.work.commit.partition('+')[0]}",
        ),
        ("checkout", saved.work.checkout, checkout, "check out the tree's commit"),
        ("hardware class", saved.work.hardware_class, facts.hardware_class, "run it on that hardware"),
        ("engine version", saved.work.engine_version, engine.engine_version, "install that version"),
    )
    for name, planned, here, hint in pairs:
        if planned != here:
            problems.append(
                Problem(where=name, what=f"the plan says {planned}, here it is {here}", hint=hint)
            )
    executor, container = _placed_again(catalog, facts, request, saved, problems)
    if problems:
        raise UsageError(
            "the plan cannot be repeated as it is", problems=problems, then="nox -s plan -- --diff A B"
        )
    placement = replace(
        saved.placement,
        executor=executor,
        root=facts.root,
        runs_dir=facts.runs_dir,
        python=engine.python,
        python_version=engine.python_version,
        host=facts.host,
        user=facts.user,
        gpu_ids=facts.gpu_ids,
        event=facts.event.text,
        pass_through=pass_through_names(catalog, facts.environ, executor=executor),
        container=container,
        command=request.command,
    )
    return replace(saved, placement=placement)


def _placed_again(
    catalog: Catalog, facts: Facts, request: Request, saved: Plan, problems: list[Problem]
) -> tuple[str, ContainerPlace | None]:
    """The executor and the container's placement of a saved plan; what would not be the same is added to `problems`."""
    planned = "docker" if saved.work.container is not None else "host"
    if request.executor not in ("auto", planned):
        hint = f"--executor {planned}, or make the plan anew"
        problems.append(Problem(where="--executor", what=f"the plan is of {planned}", hint=hint))
    if saved.work.container is None or facts.docker is None:
        return planned, None
    docker = docker_facts(facts)
    profile = catalog.containers.profiles.get(saved.work.container.profile)
    if profile is None:
        what = f"the plan's profile {saved.work.container.profile} has no row here"
        problems.append(Problem(where="container", what=what, hint="git checkout the plan's commit"))
        return planned, None
    need = Need(profile=profile, rocm="")
    named = {suite.id for suite in saved.work.suites}
    suites = [suite for suite in catalog.suites_of(saved.work.stage) if suite.id in named]
    here = container_work(catalog, facts, docker, need, suites)
    for field in fields(ContainerWork):
        was, now = getattr(saved.work.container, field.name), getattr(here, field.name)
        if canonical(was) != canonical(now):
            what = f"the plan says {canonical(was)}, here it is {canonical(now)}"
            hint = "git checkout the plan's commit, on a machine with the same mounts"
            problems.append(Problem(where=f"container.{field.name}", what=what, hint=hint))
    return planned, container_place(docker, need, request)


def only_tests(plan: Plan, wanted: Iterable[tuple[str, str]]) -> Plan:
    """The plan with only these tests, and only the suites that have one of them.

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
        raise UsageError("the failed tests are not the plan's", problems=problems, then="leave out --failed")

    def part(suite: SuiteWork) -> SuiteWork:
        nodes = chosen.get(suite.id, {})
        tests = tuple(
            test if test.id in nodes[test.id] else replace(test, cases=tuple(dict.fromkeys(nodes[test.id])))
            for test in suite.tests
            if test.id in nodes
        )
        return replace(suite, tests=tests)

    suites = tuple(kept for suite in plan.work.suites if (kept := part(suite)).tests)
    return replace(plan, work=replace(plan.work, suites=suites))


def at_commit(plan: Plan, commit: str, root: str) -> Plan:
    """The same plan for another commit of the tree that its tests are of; `root` is where that tree is."""
    if plan.work.checkout:
        return replace(
            plan,
            work=replace(plan.work, checkout=commit),
            placement=replace(plan.placement, root=root),
        )
    return replace(plan, work=replace(plan.work, commit=commit))
