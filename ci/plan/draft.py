"""Request + catalog + facts -> a draft: all that can be decided before the container is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.catalog.toml_reader import closest
from ci.catalog.versions import VERSIONED_ENGINE, release_of
from ci.errors import NothingSelectedError, Problem, UsageError
from ci.plan.capabilities import asked_for, capabilities_of
from ci.plan.environment import check_given
from ci.plan.executor import Needs
from ci.plan.facts import Facts
from ci.plan.model import CapabilityWork
from ci.plan.registry import EXECUTORS, decide_executor
from ci.plan.request import Request
from ci.plan.select import Selection, select
from ci.plan.suites import SuitesWork, plan_suites

__all__ = ["Draft", "draft_plan", "for_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is decided of a plan, each thing once. `needs` says what has to be looked at before the rest is known.

    `gpu_ids` are those that the tests can have. `asked` are the tests that ask for a capability, by its id.
    """

    needs: Needs
    executor_source: str
    gpu_ids: tuple[str, ...]
    selection: Selection
    suites: SuitesWork
    asked: Mapping[str, tuple[str, ...]]
    capabilities: Mapping[str, CapabilityWork]


def draft_plan(catalog: Catalog, facts: Facts, request: Request) -> Draft:
    """Decide engine, executor, tests, their environment, and what these need.

    Raises:
        UsageError: the request is invalid, with every problem.
        NothingSelectedError: it selects no test, with the reasons.
    """
    problems: list[Problem] = []
    check_given(catalog, request.env, problems)
    engine = _engine(catalog, facts, request, problems)
    _check_made(facts, request, engine, problems)
    executor, executor_source = _executor(catalog, facts, request, engine)
    planning = EXECUTORS[executor]
    gpu_ids = planning.gpu_ids(facts)
    selection = select(catalog, facts, request, problems, gpus=len(gpu_ids))
    suites = plan_suites(catalog, facts, request, selection, problems, engine=engine)
    asked = asked_for(facts.tests, suites.files)
    capabilities = capabilities_of(
        catalog, asked, engine=engine, hardware_class=facts.hardware_class, problems=problems
    )
    if facts.checkout is None and not request.names_tests:
        # one invalid file of somebody else's tree is no reason to run none of the others: a note names it
        problems += facts.tests.problems
    if problems:
        raise UsageError(
            f"cannot plan {request.stage}",
            problems=list(dict.fromkeys(problems)),
            then=f"nox -s {_session(catalog, request)} -- {'--list' if request.tests else '--help'}",
        )
    _refuse_nothing(catalog, request, selection)
    rows = tuple(selected.suite for selected in selection.suites)
    return Draft(
        needs=Needs(
            request=request,
            executor=executor,
            engine=engine,
            suites=rows,
            limit_s=sum(work.timeout_s for work in suites.works),
            container=planning.need(catalog, facts, request, rows, engine),
        ),
        executor_source=executor_source,
        gpu_ids=gpu_ids,
        selection=selection,
        suites=suites,
        asked=asked,
        capabilities=capabilities,
    )


def for_version(catalog: Catalog, facts: Facts, draft: Draft, version: str) -> Draft:
    """The draft for the engine's version, as soon as that is known: rows for other releases are left out.

    A checkout's SGLang has no release: its tree is what runs, not what the image had before.
    """
    release = release_of(version) if facts.checkout is None else None
    if release is None:
        return draft
    engine, problems = draft.needs.engine, list[Problem]()  # what is wrong was reported with the draft
    capabilities = capabilities_of(
        catalog,
        draft.asked,
        engine=engine,
        hardware_class=facts.hardware_class,
        problems=problems,
        release=release,
    )
    suites = draft.suites
    if engine == VERSIONED_ENGINE:
        suites = plan_suites(
            catalog, facts, draft.needs.request, draft.selection, problems, engine=engine, release=release
        )
    return replace(draft, capabilities=capabilities, suites=suites)


def _session(catalog: Catalog, request: Request) -> str:
    return catalog.stage(request.stage).session


def _engine(catalog: Catalog, facts: Facts, request: Request, problems: list[Problem]) -> str:
    default = catalog.default_engine(facts.hardware_class)
    if request.engine == "auto":
        return default
    if request.engine not in catalog.engines:
        hint = closest(request.engine, catalog.engines)
        problems.append(Problem(where="--engine", what=f"unknown engine {request.engine!r}", hint=hint))
    elif not catalog.engines[request.engine].serves(facts.hardware_class):
        what = f"{request.engine} does not serve {facts.hardware_class}, {default} does"
        classes = ", ".join(catalog.engines[request.engine].services)
        problems.append(Problem(where="--engine", what=what, hint=f"--hardware {classes} goes with it"))
    else:
        return request.engine
    return default


def _check_made(facts: Facts, request: Request, engine: str, problems: list[Problem]) -> None:
    """Options of the environment that we make are invalid without one; no option is ignored."""
    if facts.engine_build is not None:
        return
    given = {"--sglang": bool(request.sglang), "--only runnable": request.only_runnable}
    what = f"has no effect with engine {engine} on {facts.hardware_class}"
    hint = "add --engine sglang --hardware cpu, or leave it out"
    problems += [Problem(where=name, what=what, hint=hint) for name, is_given in given.items() if is_given]


def _executor(catalog: Catalog, facts: Facts, request: Request, engine: str) -> tuple[ExecutorKind, str]:
    """Which executor, and the source."""
    if request.compared and request.executor is None:
        return ExecutorKind.HOST, "plans are compared as on the host: no image changes what is tested"
    found = facts.engines.get(engine)
    return decide_executor(
        catalog.containers,
        request.executor,
        facts.hardware_class,
        engine_here=found is not None and found.found,
    )


def _refuse_nothing(catalog: Catalog, request: Request, selection: Selection) -> None:
    """An empty selection is an error; a shard that is empty because there are more shards than tests is not."""
    if selection.suites:
        return
    if not catalog.suites_of(request.stage):
        session = _session(catalog, request)
        raise NothingSelectedError(
            f"{request.stage} has only suites of a checkout",
            then=f"nox -s {session} -- --checkout PATH --list",
        )
    reasons = [Problem(where=row.test or row.suite, what=row.because) for row in selection.left_out]
    raise NothingSelectedError(
        f"nothing of {request.stage} is selected",
        problems=reasons,
        cause="no registered test fits the request on this machine",
        then=f"nox -s {_session(catalog, request)} -- --list; SGLang's own tests: --checkout PATH",
    )
