"""What the catalog and the registered tests say of each other."""

from collections.abc import Iterator

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.plan.environment import Layer, layers_for, resolve

__all__ = ["check_environments", "check_registrations"]


def check_environments(catalog: Catalog) -> list[Problem]:
    """Every suite's and every test's environment resolves; unknown sets are the catalog's own findings."""
    problems: list[Problem] = []
    for suite in catalog.suites:
        stage = next((stage for stage in catalog.stages if stage.id == suite.stage), None)
        named = [
            *suite.env_sets,
            *(stage.env_sets if stage else ()),
            *(s for row in catalog.env_layers for s in row.sets),
        ]
        if stage is not None and all(name in catalog.env_sets for name in named):
            resolve(layers_for(catalog, stage, suite), problems)
    for row in catalog.test_envs:
        sets = [catalog.env_sets[name] for name in row.sets if name in catalog.env_sets]
        resolve([Layer(name=f"test {row.test}", sets=tuple(sets))], problems)
    return problems


def check_registrations(catalog: Catalog, tests: Discovery, *, problems: list[Problem]) -> list[str]:
    """Compare suites and rows with our registrations; notes for what only a reader can judge.

    A registration for a suite that no stage runs is a problem: the test would never run.
    """
    names = {suite.name: suite for suite in catalog.suites}
    enabled = [row for row in tests.registrations if row.disabled is None]
    for row in sorted(enabled, key=lambda row: row.suite):
        suite, where = names.get(row.suite), f"{row.file}:{row.line}"
        if suite is None and not catalog.may_exist(row.suite, names):
            what = f"no stage runs suite {row.suite!r}"
            problems.append(Problem(where=where, what=what, hint="nox -l lists the suites"))
        elif suite is not None and suite.nightly != row.nightly:
            what = f"is registered with nightly={row.nightly}, suite {row.suite} has nightly = {str(suite.nightly).lower()}"
            problems.append(Problem(where=where, what=what, hint="it would never be selected"))
    problems += _bounds(catalog, tests)
    if catalog.sound:  # a row that was left out may be the requested one
        problems += _requirements(catalog, tests)
    problems += _test_envs(catalog, tests)
    asked = {capability for requirements in tests.requirements.values() for capability in requirements.asks}
    unasked = dict.fromkeys(row.id for row in catalog.capabilities if row.id not in asked)
    notes = [f"capability {name}: no test asks for it" for name in unasked]
    for suite in catalog.suites:
        count = sum(1 for row in enabled if row.suite == suite.name)
        if suite.files:
            continue
        if count == 0:
            notes.append(f"{suite.name}: no test is registered for it")
        elif count < suite.shards:
            notes.append(f"{suite.name}: {suite.shards} shards for {count} tests")
    return notes


def _bounds(catalog: Catalog, tests: Discovery) -> Iterator[Problem]:
    """Rows whose test or metric is gone."""
    files = {row.file for row in tests.registrations}
    for bound in catalog.bounds:
        if bound.test not in files:
            hint = "fix the path, or remove the row"
            yield Problem(where=catalog.where(bound, "test"), what="no such registered test", hint=hint)
        elif (
            bound.test in tests.requirements
            and bound.metric not in tests.requirements[bound.test].every_metric
        ):
            what = f"the test has no metric {bound.metric!r}"
            hint = f"remove the row, or name a computed metric in METRICS of the test; {closest(bound.metric, tests.requirements[bound.test].every_metric)}"
            yield Problem(where=catalog.where(bound, "metric"), what=what, hint=hint)


def _requirements(catalog: Catalog, tests: Discovery) -> Iterator[Problem]:
    """Metrics and capabilities that a test names and no row knows."""
    judged: dict[tuple[str, str], set[str]] = {}
    for bound in catalog.bounds:
        judged.setdefault((bound.test, bound.metric), set()).update(bound.hardware)
    capabilities = {row.id for row in catalog.capabilities}
    for file, requirements in tests.requirements.items():
        for line, what, hint in requirements.faults:
            yield Problem(where=f"{file}:{line}", what=what, hint=hint)
        for capability in requirements.asks:
            if capability not in capabilities:
                what = f"asks for {capability!r}, which has no row in capabilities.toml"
                yield Problem(where=file, what=what, hint=closest(capability, capabilities))
        needed = _classes_of(catalog, tests, file)
        lacking: dict[str, list[str]] = {}
        for metric in requirements.every_metric:
            known = judged.get((file, metric), set())
            # which of the computed names a class measures goes by its sizes, so one row is enough for those
            missing = [name for name in needed if name not in known] if metric in requirements.metrics else []
            if not known or missing:
                lacking.setdefault(f" for {', '.join(missing)}" if missing else "", []).append(repr(metric))
        for classes, metrics in lacking.items():
            what = f"no row of bounds.toml has its metric {', '.join(metrics)}{classes}"
            hint = "add [[bound]] with op, limit, unit and source, or report_only = true with a why"
            yield Problem(where=file, what=what, hint=hint)


def _classes_of(catalog: Catalog, tests: Discovery, file: str) -> list[str]:
    """The classes with GPUs that the file's suites may run on."""
    suites = {row.suite for row in tests.registrations if row.file == file}
    families = {suite.family for suite in catalog.suites if suite.name in suites}
    return [row.id for row in catalog.hardware.classes.values() if row.id != CPU and row.family in families]


def _test_envs(catalog: Catalog, tests: Discovery) -> Iterator[Problem]:
    """Environments of tests that are gone."""
    files = {row.file for row in tests.registrations}
    for row in catalog.test_envs:
        if row.test not in files:
            hint = closest(row.test, files)
            yield Problem(where=catalog.where(row, "test"), what="no such registered test", hint=hint)
