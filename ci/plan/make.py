"""Request + catalog + facts -> Plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.toml_reader import closest
from ci.errors import InfrastructureError, NothingSelectedError, Problem, UsageError
from ci.plan.bounds import bounds_of
from ci.plan.capabilities import asked_for, capabilities_of, left_out_notes
from ci.plan.container.needs import ContainerPlace, ContainerWork, decide_executor, needs_of, one_need
from ci.plan.container.plan import (
    container_notes,
    container_place,
    container_sources,
    container_work,
    docker_facts,
    preflight_notes,
)
from ci.plan.environment import Resolved, Setting, check_given, layers_for, pass_through_names, resolve
from ci.plan.facts import Facts
from ci.plan.model import (
    ModelWork,
    Placement,
    Plan,
    RuleWork,
    StandInWork,
    SuiteWork,
    Work,
    WorkLimits,
)
from ci.plan.quarantine import applying, expiring, tried_date_note
from ci.plan.request import Request
from ci.plan.route import label_of
from ci.plan.select import Selected, Selection, select, within

__all__ = ["EXECUTORS", "make_plan"]

EXECUTORS = ("host", "docker")


def make_plan(catalog: Catalog, facts: Facts, request: Request) -> Plan:
    """Decide everything that a run will do.

    Raises:
        UsageError: the request is invalid, with every problem.
        NothingSelectedError: it selects no test, with the reasons.
        InfrastructureError: the engine is not installed where the tests would run.
    """
    problems: list[Problem] = []
    check_given(catalog, request.env, problems)
    engine_id = _engine(catalog, facts, request, problems)
    executor, executor_source = _executor(catalog, facts, request, problems)
    selection = select(catalog, facts, request, problems)
    sources: dict[str, str] = {}
    notes = list(selection.notes)
    rehearsal = facts.hardware_class == CPU
    suites = [
        _suite_work(catalog, facts, request, selected, sources, notes, problems)
        for selected in selection.suites
    ]
    files = [test.id for suite in suites for test in suite.tests]
    asked = asked_for(facts.tests, files)
    capabilities = capabilities_of(
        catalog, asked, engine=engine_id, hardware_class=facts.hardware_class, problems=problems
    )
    problems += [problem for problem in facts.tests.problems if not request.names_tests]
    if problems:
        raise UsageError(
            "cannot plan this",
            problems=_unique(problems),
            then=f"nox -s {_session(catalog, request)} -- --help",
        )
    _refuse_nothing(catalog, request, selection)
    container = _container(catalog, facts, request, selection) if executor == "docker" else None
    engine = facts.engines.get(engine_id)
    if engine is None:
        raise InfrastructureError(
            f"engine {engine_id} is not installed where the tests would run",
            cause=f"no python3 on the PATH has the package {catalog.engines[engine_id].package!r}",
            then="name the interpreter that has it: --python PATH; or rehearse on the CPU: --hardware cpu",
        )
    if not rehearsal:
        notes += preflight_notes(facts, [one.suite for one in selection.suites], executor=executor)
    notes += [f"{row.test or row.suite} is left out: {row.because}" for row in selection.left_out]
    if request.names_tests:
        notes += [f"not read, since tests are named: {problem}" for problem in facts.tests.problems]
    notes += left_out_notes(capabilities, asked)
    quarantine = applying(
        catalog.quarantine.rows, hardware_class=facts.hardware_class, today=facts.today, tests=files
    )
    notes += [
        f"quarantined until {row.expires}, does not gate: {row.test}: {row.reason} ({row.issue})"
        for row in quarantine
    ]
    notes += expiring(catalog, today=facts.today)
    if facts.today_tried:
        notes.append(tried_date_note(facts.today, facts.today_source))
    known = {"commit": facts.commit} | ({"checkout": facts.checkout} if facts.checkout is not None else {})
    partial = tuple(f"{name} {fact.source}" for name, fact in known.items() if not fact.value)
    if container is not None:
        notes += container.notes
        if not container.image:
            partial += (f"image unresolved: {container.problem}",)
    work = Work(
        stage=request.stage,
        commit=facts.commit.text,
        checkout=facts.checkout.text if facts.checkout is not None else "",
        hardware_class=facts.hardware_class,
        rehearsal=rehearsal,
        engine=engine_id,
        engine_version=engine.engine_version,
        features=catalog.engines[engine_id].features,
        models=_models(catalog, rehearsal=rehearsal),
        image=container.image if container is not None else None,
        container=container.work if container is not None else None,
        suites=tuple(suites),
        skipped_suites=tuple(row.suite for row in selection.left_out if not row.test),
        # another tree's tests measure nothing for our rows, though some have the same path
        bounds=bounds_of(catalog, facts.hardware_class, files if facts.checkout is None else ()),
        capabilities=capabilities,
        quarantine=tuple(row.test for row in quarantine),
        limits=WorkLimits(
            agent=catalog.limits.agent,
            harness=catalog.limits.harness,
            launch_s=catalog.engines[engine_id].launch_s,
        ),
        verdict_rules=tuple(
            RuleWork(id=rule.id, verdict=rule.verdict, pattern=rule.pattern, why=rule.why)
            for rule in catalog.verdict_rules
        ),
        jobs=_jobs(facts, request, suites),
        fail_fast=request.fail_fast,
        pytest_args=request.pytest_args,
    )
    placement = Placement(
        executor=executor,
        root=facts.root,
        runs_dir=facts.runs_dir,
        python=engine.python,
        python_version=engine.python_version,
        host=facts.host,
        user=facts.user,
        gpu_ids=facts.gpu_ids,
        event=facts.event.text,
        runner_labels={
            selected.suite.id: label_of(catalog, selected.suite, facts.event.value).label
            for selected in selection.suites
        },
        shards_in_ci={selected.suite.id: selected.suite.shards for selected in selection.suites},
        pass_through=pass_through_names(catalog, facts.environ, executor=executor),
        container=container.place if container is not None else None,
        command=request.command,
    )
    sources |= _sources(catalog, facts, request, engine_id, engine.source)
    sources["placement.executor"] = executor_source
    if container is not None:
        sources |= container.sources
    return Plan(
        work=work,
        placement=placement,
        sources=dict(sorted(sources.items())),
        left_out=selection.left_out,
        notes=tuple(dict.fromkeys(notes)),
        partial=partial,
    )


def _session(catalog: Catalog, request: Request) -> str:
    return catalog.stage(request.stage).session


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _engine(catalog: Catalog, facts: Facts, request: Request, problems: list[Problem]) -> str:
    default = catalog.default_engine(facts.hardware_class)
    if request.engine == "auto":
        return default
    if request.engine not in catalog.engines:
        hint = closest(request.engine, catalog.engines)
        problems.append(Problem(where="--engine", what=f"unknown engine {request.engine!r}", hint=hint))
    elif facts.hardware_class not in catalog.engines[request.engine].default_for:
        what = f"{request.engine} does not serve {facts.hardware_class}, {default} does"
        classes = ", ".join(catalog.engines[request.engine].default_for)
        problems.append(Problem(where="--engine", what=what, hint=f"--hardware {classes} goes with it"))
    else:
        return request.engine
    return default


def _executor(catalog: Catalog, facts: Facts, request: Request, problems: list[Problem]) -> tuple[str, str]:
    """Which executor, and the source. The facts of a container were gathered exactly when it is docker."""
    if request.executor not in ("auto", *EXECUTORS):
        hint = closest(request.executor, EXECUTORS)
        problems.append(Problem(where="--executor", what=f"unknown executor {request.executor!r}", hint=hint))
        return EXECUTORS[0], "--executor"
    return decide_executor(
        catalog.containers, request.executor, facts.hardware_class, engine_here=facts.docker is None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contained:
    """A container's parts of a plan."""

    work: ContainerWork
    place: ContainerPlace
    image: str
    problem: str
    notes: tuple[str, ...]
    sources: Mapping[str, str]


def _container(catalog: Catalog, facts: Facts, request: Request, selection: Selection) -> _Contained:
    suites = [selected.suite for selected in selection.suites]
    need = one_need(needs_of(catalog.containers, suites, facts.hardware_class))
    docker = docker_facts(facts)
    return _Contained(
        work=container_work(catalog, facts, docker, need, suites),
        place=container_place(docker, need, request),
        image=docker.image.config_digest,
        problem=docker.image.problem,
        notes=container_notes(docker),
        sources=container_sources(catalog, facts, docker, need, request),
    )


def _suite_work(
    catalog: Catalog,
    facts: Facts,
    request: Request,
    selected: Selected,
    sources: dict[str, str],
    notes: list[str],
    problems: list[Problem],
) -> SuiteWork:
    suite = selected.suite
    path = f"work.suites.{suite.id}"
    family = catalog.family_of(facts.hardware_class) if facts.hardware_class != CPU else ""

    def environment(test: str = "") -> Resolved:
        stage = catalog.stage(suite.stage)
        return resolve(layers_for(catalog, stage, suite, request.env, test=test, family=family), problems)

    resolved = environment()
    told = [(f"{path}.env", setting) for setting in resolved.settings.values()]
    tests = []
    for test in selected.tests:
        # another tree's tests bring their environment in their code, though some have the same path
        own = environment(test.id) if facts.checkout is None else resolved
        differing = {
            name: setting
            for name, setting in own.settings.items()
            if name not in resolved.settings or resolved.settings[name].value != setting.value
        }
        told += [(f"{path}.tests.{test.id}.env", setting) for setting in differing.values()]
        tests.append((test, {name: setting.value for name, setting in differing.items()}))
    for where, setting in told:
        sources[f"{where}.{setting.name}"] = _story(setting)
        theirs = facts.environ.get(setting.name)
        if theirs is not None and theirs != setting.value:
            notes.append(f"{setting.name} of your shell is ignored: {setting.source} says {setting.value!r}")
    whole = selected.shard is None and suite.shards > 1
    timeout_s = suite.timeout_s * suite.shards if whole else suite.timeout_s
    row = f"suite[{suite.id}]"
    share = (
        f"{suite.shards} shards of {suite.timeout_s / 60:g} min, all in this run" if whole else "one shard"
    )
    sources[f"{path}.timeout_s"] = f"{row}: {share}"
    sources[f"{path}.attempts"] = row
    sources[f"{path}.gpus"] = row
    sources[f"{path}.shard"] = "--shard" if selected.shard is not None else "default: the whole suite"
    sources[f"{path}.tests"] = request.tests_source if request.names_tests else f"registered for {suite.name}"
    return SuiteWork(
        id=suite.id,
        name=suite.name,
        shard=selected.shard,
        gpus=suite.gpus,
        timeout_s=timeout_s,
        attempts=suite.attempts,
        retry_wait_s=suite.retry_wait_s,
        retry_on=tuple(row.verdict for row in catalog.retries) if suite.attempts > 1 else (),
        env=resolved.values,
        tests=tuple(within(test, timeout_s, env) for test, env in tests),
    )


def _story(setting: Setting) -> str:
    """Which set gave a variable, why, and what it overrode."""
    over = "".join(
        f", over {source} = {value!r}" for source, value in setting.overrode if value != setting.value
    )
    return f"{setting.source}: {setting.why}{over}"


def _refuse_nothing(catalog: Catalog, request: Request, selection: Selection) -> None:
    """An empty selection is an error; a shard that is empty because there are more shards than tests is not."""
    if selection.suites:
        return
    reasons = [Problem(where=row.test or row.suite, what=row.because) for row in selection.left_out]
    raise NothingSelectedError(
        f"nothing of {request.stage} is selected",
        problems=reasons,
        cause="no registered test fits the request on this machine",
        then=f"nox -s {_session(catalog, request)} -- --list; SGLang's own tests: --checkout PATH",
    )


def _jobs(facts: Facts, request: Request, suites: list[SuiteWork]) -> int:
    if request.jobs == "gpus":
        return max(1, len(facts.gpu_ids) // max((suite.gpus for suite in suites), default=1))
    return int(request.jobs or 1)


def _models(catalog: Catalog, *, rehearsal: bool) -> Mapping[str, ModelWork]:
    models: dict[str, ModelWork] = {}
    for model in catalog.models.values():
        if not rehearsal:
            models[model.id] = ModelWork(path=model.id, stand_in=None)
        elif model.stand_in:
            row = catalog.stand_ins[model.stand_in]
            stand_in = StandInWork(
                id=row.id,
                package=row.package,
                file=row.file,
                slots=row.slots,
                context=row.context,
                threads=row.threads,
                sizes=row.sizes,
            )
            models[model.id] = ModelWork(path=row.id, stand_in=stand_in)
    return models


def _sources(
    catalog: Catalog, facts: Facts, request: Request, engine_id: str, engine_source: str
) -> dict[str, str]:
    default_engine = f"engines.toml: the default for {facts.hardware_class}"
    sources = {
        "work.stage": "the session",
        "work.commit": facts.commit.source,
        "work.checkout": facts.checkout.source
        if facts.checkout is not None
        else "default: this repository's tests",
        "work.hardware_class": facts.hardware_source,
        "work.rehearsal": f"hardware class {facts.hardware_class}",
        "work.engine": "--engine" if request.engine == engine_id else default_engine,
        "work.engine_version": engine_source,
        "work.features": f"engines.toml: engine[{engine_id}]",
        "work.models": "models.toml",
        "work.image": "default: no image, the host's own files",
        "work.container": "the executor is not docker",
        "work.bounds": f"bounds.toml, rows for {facts.hardware_class}",
        "work.capabilities": f"capabilities.toml, rows for {engine_id} on {facts.hardware_class}",
        "work.quarantine": f"quarantine.toml, rows for {facts.hardware_class} on {facts.today} ({facts.today_source})",
        "work.limits": "limits.toml",
        "work.verdict_rules": "verdicts.toml",
        "work.jobs": f"--jobs {request.jobs}" if request.jobs else "default: one test at a time",
        "work.fail_fast": "--fail-fast" if request.fail_fast else "default: --keep-going",
        "work.pytest_args": "after the second --" if request.pytest_args else "default: none",
        "placement.python": engine_source,
        "placement.gpu_ids": facts.hardware_source,
        "placement.event": facts.event.source,
    }
    for selected_suite in catalog.suites_of(request.stage):
        sources[f"placement.runner_labels.{selected_suite.id}"] = next(
            f"runners.toml: routing[{row.id}]"
            for row in catalog.routings
            if row.family == selected_suite.family and row.in_force
        )
    return sources
