"""The suites' parts of the work: the environment of each test with its sources, and the limits."""

from collections.abc import Mapping
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.versions import Version
from ci.errors import Problem
from ci.plan.environment import Resolved, Setting, layers_for, resolve
from ci.plan.facts import Facts
from ci.plan.model import RetryWork, SuiteWork
from ci.plan.request import Request
from ci.plan.roles import roles_of
from ci.plan.select import Selected, Selection, within

__all__ = ["SuitesWork", "plan_suites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitesWork:
    """The work of each suite, the sources of its values by dotted path, and notes."""

    works: tuple[SuiteWork, ...]
    sources: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The test files, in running order."""
        return [test.id for suite in self.works for test in suite.tests]


def plan_suites(
    catalog: Catalog,
    facts: Facts,
    request: Request,
    selection: Selection,
    problems: list[Problem],
    *,
    engine: str,
    release: Version | None = None,
) -> SuitesWork:
    """The work of the selected suites; env sets that disagree are added to `problems`.

    `release` is the engine's, as far as it is known.
    """
    sources: dict[str, str] = {}
    notes: list[str] = []
    works = [
        _suite_work(catalog, facts, request, selected, engine, sources, notes, problems, release)
        for selected in selection.suites
    ]
    return SuitesWork(works=tuple(works), sources=sources, notes=tuple(notes))


def _suite_work(
    catalog: Catalog,
    facts: Facts,
    request: Request,
    selected: Selected,
    engine: str,
    sources: dict[str, str],
    notes: list[str],
    problems: list[Problem],
    release: Version | None,
) -> SuiteWork:
    suite = selected.suite
    path = f"work.suites.{suite.id}"
    family = catalog.family_of(facts.hardware_class) if facts.hardware_class != CPU else ""

    def environment(test: str = "") -> Resolved:
        layers = layers_for(
            catalog,
            catalog.stage(suite.stage),
            suite,
            request.env,
            test=test,
            family=family,
            engine_sets=catalog.engines[engine].services[facts.hardware_class].env_sets,
        )
        found = resolve(layers, problems, release=release)
        notes.extend(
            f"{variable.name} is not set: {env_set} has it for {variable.versions}, the engine is {release}"
            for env_set, variable in found.left_out
        )
        return found

    resolved = environment()
    given = [(f"{path}.env", setting) for setting in resolved.settings.values()]
    tests = []
    for test in selected.tests:
        # another tree's tests bring their environment in their code, though some have the same path
        own = environment(test.id) if facts.checkout is None else resolved
        differing = {
            name: setting
            for name, setting in own.settings.items()
            if name not in resolved.settings or resolved.settings[name].value != setting.value
        }
        given += [(f"{path}.tests.{test.id}.env", setting) for setting in differing.values()]
        tests.append((test, {name: setting.value for name, setting in differing.items()}))
    for where, setting in given:
        sources[f"{where}.{setting.name}"] = _source_text(setting)
        theirs = facts.environ.get(setting.name)
        if theirs is not None and theirs != setting.value:
            notes.append(f"{setting.name} of your shell is ignored: {setting.source} says {setting.value!r}")
    whole = selected.shard is None and suite.shards > 1
    timeout_s = suite.timeout_s * suite.shards if whole else suite.timeout_s
    share = (
        f"{suite.shards} shards of {suite.timeout_s / 60:g} min, all in this run" if whole else "one shard"
    )
    sources[f"{path}.timeout_s"] = f"{catalog.source_of(suite, 'timeout_s')}: {share}"
    sources[f"{path}.attempts"] = catalog.source_of(suite, "attempts")
    sources[f"{path}.gpus"] = catalog.source_of(suite, "gpus")
    sources[f"{path}.shard"] = "--shard" if selected.shard is not None else "default: the whole suite"
    if catalog.roles_of(suite.name):
        sources[f"{path}.roles"] = f"roles.toml, for {engine} on {facts.hardware_class}"
    selected_by = request.tests_source if request.names_tests else f"registered for {suite.name}"
    sources[f"{path}.tests"] = (
        f"{selected_by}; limit of a file: {catalog.source_of(suite, 'timeout_per_file_s')}"
    )
    return SuiteWork(
        id=suite.id,
        name=suite.name,
        shard=selected.shard,
        gpus=suite.gpus,
        timeout_s=timeout_s,
        attempts=suite.attempts,
        retry_wait_s=suite.retry_wait_s,
        retries=tuple(
            RetryWork(verdict=row.verdict, attempts=row.attempts or suite.attempts, gpu=row.gpu)
            for row in catalog.retries
            if (row.attempts or suite.attempts) > 1
        ),
        env=resolved.values,
        roles=roles_of(catalog, facts, suite, engine),
        tests=tuple(within(test, timeout_s, env) for test, env in tests),
    )


def _source_text(setting: Setting) -> str:
    """Which set gave a variable, why, and what it overrode."""
    over = "".join(
        f", over {source} = {value!r}" for source, value in setting.overrode if value != setting.value
    )
    return f"{setting.source}: {setting.why}{over}"
