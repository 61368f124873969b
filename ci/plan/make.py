"""Catalog + facts + draft + what was found out about the container -> Plan."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.quarantine import Quarantine
from ci.catalog.versions import release_of
from ci.errors import UsageError
from ci.plan.bounds import bounds_of
from ci.plan.capabilities import left_out_notes, unversioned_notes
from ci.plan.container.needs import ContainerWork
from ci.plan.content import ContentWork
from ci.plan.cpu_tests import cpu_tests_of
from ci.plan.draft import Draft, for_version
from ci.plan.executor import Part
from ci.plan.facts import DockerFacts, Facts
from ci.plan.model import (
    CpuTestsWork,
    ModelWork,
    OwnWork,
    Placement,
    Plan,
    RuleWork,
    SharingWork,
    StandInWork,
    Work,
    WorkLimits,
)
from ci.plan.quarantine import applying, expiring, tried_date_note
from ci.plan.registry import EXECUTORS
from ci.plan.roles import places_of
from ci.plan.route import label_of, label_source
from ci.plan.suites import SuitesWork

__all__ = ["make_plan"]


def make_plan(catalog: Catalog, facts: Facts, draft: Draft, found: DockerFacts | None = None) -> Plan:
    """The whole plan of a draft; `found` is what was found out about the container that it needs.

    Raises:
        UsageError: the dependencies of the image and the checkout are invalid.
        InfrastructureError: the engine is not installed where the tests would run.
    """
    needs, selection = draft.needs, draft.selection
    request, rehearsal = needs.request, facts.hardware_class == CPU
    part = EXECUTORS[needs.executor].part(catalog, facts, needs, found)
    service, build = catalog.engines[needs.engine].services[facts.hardware_class], facts.engine_build
    draft = for_version(catalog, facts, draft, part.engine.engine_version)
    suites = draft.suites
    quarantine = applying(
        catalog.quarantine.rows, hardware_class=facts.hardware_class, today=facts.today, tests=suites.files
    )
    jobs = _jobs(facts, draft, catalog.limits.agent.slots_max)
    work = Work(
        stage=request.stage,
        commit=facts.commit.text,
        checkout=facts.checkout.text if facts.checkout is not None else "",
        content=ContentWork(
            tests=facts.content.tests, tools=facts.content.tools, packages=part.engine.packages
        ),
        hardware_class=facts.hardware_class,
        rehearsal=rehearsal,
        engine=needs.engine,
        engine_version=part.engine.engine_version,
        engine_build=build.work if build is not None else None,
        engine_args=(*service.args, *(build.arguments if build is not None else ())),
        features=service.features,
        models=_models(catalog, rehearsal=rehearsal, by_name=build is not None),
        image=part.image,
        container=_container(part, jobs),
        suites=suites.works,
        skipped_suites=tuple(row.suite for row in selection.left_out if not row.test),
        # another tree's tests measure nothing for our rows, though some have the same path
        bounds=bounds_of(
            catalog,
            facts.hardware_class,
            suites.files if facts.checkout is None else (),
            engine=needs.engine,
            requirements=facts.tests.requirements,
        ),
        capabilities=draft.capabilities,
        quarantine=tuple(row.test for row in quarantine),
        limits=WorkLimits(
            agent=catalog.limits.agent,
            harness=catalog.limits.harness,
            launch_s=service.launch_s,
            stop_s=service.stop_s,
        ),
        verdict_rules=tuple(
            RuleWork(
                id=rule.id,
                verdict=rule.verdict,
                about=rule.about,
                only_if=rule.only_if,
                pattern=rule.pattern,
                why=rule.why,
            )
            for rule in catalog.verdict_rules
        ),
        cpu_tests=cpu_tests_of(catalog.cpu_tests, suites.files)
        if _is_tree_on_cpu(facts, draft)
        else CpuTestsWork(),
        jobs=jobs,
        sharing=_sharing(catalog, suites, jobs),
        fail_fast=request.fail_fast,
        pytest_args=request.pytest_args,
    )
    gpu_ids = draft.gpu_ids[: part.gpus]
    placement = Placement(
        executor=needs.executor,
        root=facts.root,
        runs_dir=facts.runs_dir,
        python=part.engine.python,
        python_version=part.engine.python_version,
        host=facts.host,
        user=facts.user,
        gpu_ids=gpu_ids,
        # the executor may number them anew, in the same order
        gpu_groups=dict(zip(gpu_ids, facts.gpu_groups, strict=False)),
        event=facts.event.text,
        runner_labels={suite.id: label_of(catalog, suite, facts.event.value).label for suite in needs.suites},
        shards_in_ci={suite.id: suite.shards for suite in needs.suites},
        pass_through=part.pass_through,
        container=part.place,
        engine_build=build.place if build is not None else None,
        slurm=part.slurm,
        roles=places_of(catalog, suites.works, nodes=part.slurm.nodes if part.slurm is not None else 1),
        command=request.command,
    )
    sources = {
        **suites.sources,
        **_sources(catalog, facts, draft, part.engine.source),
        "placement.executor": draft.executor_source,
        **part.sources,
    }
    known = {"commit": facts.commit} | ({"checkout": facts.checkout} if facts.checkout is not None else {})
    unknown = tuple(f"{name} {fact.source}" for name, fact in known.items() if not fact.value)
    return Plan(
        work=work,
        placement=placement,
        sources=dict(sorted(sources.items())),
        left_out=selection.left_out,
        notes=tuple(dict.fromkeys(_notes(catalog, facts, draft, part, quarantine))),
        partial=(*unknown, *part.partial, *(build.partial if build is not None else ())),
        request=replace(request, command=(), compared=False),
    )


def _notes(
    catalog: Catalog, facts: Facts, draft: Draft, part: Part, quarantine: Iterable[Quarantine]
) -> Iterator[str]:
    yield from draft.selection.notes
    yield from draft.suites.notes
    yield from part.not_run
    for row in draft.selection.left_out:
        yield f"{row.test or row.suite} is left out: {row.because}"
    yield from _invalid_files(facts, draft)
    yield from left_out_notes(draft.capabilities, draft.asked)
    if facts.checkout is not None or release_of(part.engine.engine_version) is None:
        yield from unversioned_notes(
            catalog, draft.asked, engine=draft.needs.engine, hardware_class=facts.hardware_class
        )
    for held in quarantine:
        yield f"quarantined until {held.expires}, does not gate: {held.test}: {held.reason} ({held.issue})"
    yield from expiring(catalog, today=facts.today)
    if facts.today_tried:
        yield tried_date_note(facts.today, facts.today_source)
    yield from part.notes
    most, slots = catalog.limits.agent.slots_max, _slots(facts, draft)
    if draft.needs.request.jobs == "gpus" and slots > most:
        yield f"--jobs gpus: {most} tests at a time, not {slots}: no more have ports of their own (limits.toml)"
    if facts.engine_build is not None:
        yield from facts.engine_build.notes


def _invalid_files(facts: Facts, draft: Draft) -> Iterator[str]:
    """What is wrong with registrations and did not stop the plan."""
    if facts.checkout is None:
        yield from (f"not read, since tests are named: {problem}" for problem in facts.tests.problems)
        return
    mine = set(draft.suites.files)
    own = [problem for problem in facts.tests.problems if problem.where.rpartition(":")[0] in mine]
    yield from map(str, own)
    if others := len(facts.tests.problems) - len(own):
        yield f"problems in other files of the checkout: {others}; nox -s check -- --checkout {facts.root}"


def _is_tree_on_cpu(facts: Facts, draft: Draft) -> bool:
    """Whether SGLang's own tests run on its own server without a GPU."""
    return facts.hardware_class == CPU and facts.checkout is not None and draft.needs.engine == "sglang"


def _jobs(facts: Facts, draft: Draft, most: int) -> int:
    """Tests at a time; `gpus`: one for each GPU, in a rehearsal one for each CPU.

    Raises:
        UsageError: more than have ports of their own.
    """
    jobs = draft.needs.request.jobs
    if jobs == "gpus":
        return min(most, _slots(facts, draft))
    if int(jobs or 1) > most:
        raise UsageError(
            f"--jobs {jobs}: at most {most} tests at a time have ports of their own",
            cause="agent.port_first and agent.ports_per_slot in limits.toml leave room for no more",
            then=f"--jobs {most}",
        )
    return int(jobs or 1)


def _slots(facts: Facts, draft: Draft) -> int:
    """GPUs that the tests may have; in a rehearsal CPUs."""
    return max(1, len(draft.gpu_ids) or facts.cpus)


def _sharing(catalog: Catalog, suites: SuitesWork, jobs: int) -> SharingWork:
    if jobs == 1:
        return SharingWork()
    return SharingWork(
        alone=catalog.slots.alone_of(suites.files),
        variables=tuple(OwnWork(name=row.name, kind=row.kind) for row in catalog.slots.own),
    )


def _container(part: Part, jobs: int) -> ContainerWork | None:
    """The executor's, with as much shared memory for each of the tests at a time as one has."""
    if part.container is None:
        return None
    options = replace(part.container.options, shm_bytes=part.container.options.shm_bytes * jobs)
    return replace(part.container, options=options)


def _models(catalog: Catalog, *, rehearsal: bool, by_name: bool) -> Mapping[str, ModelWork]:
    """What the engine is given for each model; `by_name`: stand-ins are found under the names of the models."""
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
            models[model.id] = ModelWork(path=model.id if by_name else row.id, stand_in=stand_in)
    return models


def _sources(catalog: Catalog, facts: Facts, draft: Draft, engine_source: str) -> dict[str, str]:
    request, engine_id = draft.needs.request, draft.needs.engine
    service = f"engines.toml: service[{engine_id}] on {facts.hardware_class}"
    default_engine = f"engines.toml: the default for {facts.hardware_class}"
    sources = {
        "work.stage": "the session",
        "work.commit": facts.commit.source,
        "work.checkout": facts.checkout.source
        if facts.checkout is not None
        else "default: this repository's tests",
        "work.content": "the files on disk",
        "work.hardware_class": facts.hardware_source,
        "work.rehearsal": f"hardware class {facts.hardware_class}",
        "work.engine": "--engine" if request.engine == engine_id else default_engine,
        "work.engine_version": engine_source,
        "work.engine_build": engine_source
        if facts.engine_build is not None
        else "the engine is found, not made",
        "work.engine_args": f"{service}; sglang.toml: what this version needs"
        if facts.engine_build is not None and facts.engine_build.arguments
        else service,
        "work.features": service,
        "work.models": "models.toml",
        "work.bounds": f"bounds.toml, rows for {engine_id} on {facts.hardware_class}",
        "work.capabilities": f"capabilities.toml, rows for {engine_id} on {facts.hardware_class}",
        "work.quarantine": f"quarantine.toml, rows for {facts.hardware_class} on {facts.today} ({facts.today_source})",
        "work.limits": "limits.toml",
        "work.verdict_rules": "verdicts.toml",
        "work.cpu_tests": "cpu_tests.toml"
        if _is_tree_on_cpu(facts, draft)
        else "default: none, this is not a rehearsal of an SGLang tree on sglang",
        "work.jobs": f"--jobs {request.jobs}" if request.jobs else "default: one test at a time",
        "work.sharing": "slots.toml" if request.jobs not in ("", "1") else "default: one test at a time",
        "work.fail_fast": "--fail-fast" if request.fail_fast else "default: --keep-going",
        "work.pytest_args": "after the second --" if request.pytest_args else "default: none",
        "placement.python": engine_source,
        "placement.gpu_ids": facts.hardware_source,
        "placement.gpu_groups": facts.hardware_source,
        "placement.event": facts.event.source,
        "placement.roles": "roles.toml",
    }
    for suite in draft.needs.suites:
        sources[f"placement.runner_labels.{suite.id}"] = label_source(catalog, suite)
    return sources
