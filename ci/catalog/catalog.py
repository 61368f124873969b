"""The whole catalog: read once, checked whole, every problem reported at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.bounds import load_bounds
from ci.catalog.capabilities import load_capabilities
from ci.catalog.change_rules import ChangeRules, check_changes, load_changes
from ci.catalog.containers import Containers, load_containers
from ci.catalog.dependencies import Dependencies, load_dependencies
from ci.catalog.envsets import ENVS_DIR, EnvSet, load_env_sets
from ci.catalog.guards import Guards, load_guards
from ci.catalog.hardware import CPU, HardwareCatalog, load_hardware
from ci.catalog.health import HealthRows, load_health
from ci.catalog.image_builds import BuildRows, load_builds
from ci.catalog.images import ImageCatalog, load_images
from ci.catalog.limits import Limits, load_limits
from ci.catalog.parity import ParityRules, load_parity
from ci.catalog.quarantine import QuarantineTable, load_quarantine
from ci.catalog.records import (
    Bound,
    Capability,
    Engine,
    EnvLayer,
    Label,
    Model,
    PassThrough,
    Pool,
    Preflight,
    Retry,
    Routing,
    SecretWords,
    Sizes,
    Stage,
    StandIn,
    Suite,
    TestEnv,
    VerdictRule,
)
from ci.catalog.registrations.roots import DiscoveryRules, load_discovery
from ci.catalog.stages import CATALOG_DIR, load_stages
from ci.catalog.toml_reader import Row, Tables, closest
from ci.catalog.verdicts import CAUSES, Verdict
from ci.catalog.workflows import ActionsCatalog, load_actions
from ci.errors import Problem, UsageError

__all__ = ["Catalog", "families", "load_catalog", "read_catalog"]

_EVENTS = {"pull_request": "pull_request", "schedule": "schedule", "dispatch": "workflow_dispatch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that is so until a row is edited."""

    stages: tuple[Stage, ...]
    suites: tuple[Suite, ...]
    preflights: Mapping[str, Preflight]
    retries: tuple[Retry, ...]
    pools: Mapping[str, Pool]
    labels: tuple[Label, ...]
    routings: tuple[Routing, ...]
    hardware: HardwareCatalog
    engines: Mapping[str, Engine]
    models: Mapping[str, Model]
    stand_ins: Mapping[str, StandIn]
    bounds: tuple[Bound, ...]
    capabilities: tuple[Capability, ...]
    quarantine: QuarantineTable
    limits: Limits
    verdict_rules: tuple[VerdictRule, ...]
    env_sets: Mapping[str, EnvSet]
    env_layers: tuple[EnvLayer, ...]
    test_envs: tuple[TestEnv, ...]
    pass_through: tuple[PassThrough, ...]
    secrets: tuple[SecretWords, ...]
    discovery: DiscoveryRules
    dependencies: Dependencies
    guards: Guards
    images: ImageCatalog
    containers: Containers
    health: HealthRows
    builds: BuildRows
    changes: ChangeRules
    parity: ParityRules
    actions: ActionsCatalog

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id.

        Raises:
            UsageError: there is none, with the nearest names.
        """
        for stage in self.stages:
            if stage_id in (stage.id, stage.session):
                return stage
        known = [stage.id for stage in self.stages]
        raise UsageError(f"there is no stage {stage_id!r}", cause=closest(stage_id, known), then="nox -l")

    def suites_of(self, stage_id: str) -> tuple[Suite, ...]:
        """The suites of a stage, in the catalog's order."""
        return tuple(suite for suite in self.suites if suite.stage == stage_id)

    def family_of(self, hardware_class: str) -> str:
        """`mi30x`, `mi35x` or empty for the CPU."""
        return self.hardware.classes[hardware_class].family

    def default_engine(self, hardware_class: str) -> str:
        """The engine that serves this hardware class unless another is asked for; checked when the catalog is read."""
        return next(engine.id for engine in self.engines.values() if hardware_class in engine.default_for)


def families(hardware: HardwareCatalog) -> tuple[str, ...]:
    """The families of GPUs, in the catalog's order; the CPU has none."""
    return tuple(dict.fromkeys(row.family for row in hardware.classes.values() if row.id != CPU))


def _family(hardware: HardwareCatalog, hardware_class: str) -> str:
    row = hardware.classes.get(hardware_class)
    return row.family if row is not None else ""


def read_catalog(folder: Path = CATALOG_DIR, envs: Path = ENVS_DIR) -> tuple[Catalog, tuple[Problem, ...]]:
    """The catalog and everything that is wrong with it."""
    problems: list[Problem] = []
    table = load_stages(problems, folder)
    hardware = load_hardware(problems, folder)
    discovery = load_discovery(problems, folder)
    dependencies = load_dependencies(problems, folder, families=families(hardware))
    pools, labels, routings = _runners(problems, folder, hardware)
    engines = _engines(problems, folder, hardware)
    models, stand_ins = _models(problems, folder, engines)
    layers, test_envs, pass_through, secrets = _environment(problems, folder, hardware)
    catalog = Catalog(
        stages=table.stages,
        suites=table.suites,
        preflights={row.id: row for row in table.preflights},
        retries=table.retries,
        pools=pools,
        labels=labels,
        routings=routings,
        hardware=hardware,
        engines=engines,
        models=models,
        stand_ins=stand_ins,
        bounds=load_bounds(problems, folder, hardware),
        capabilities=load_capabilities(problems, folder, hardware, engines),
        quarantine=load_quarantine(folder, hardware),
        limits=load_limits(problems, folder),
        verdict_rules=_verdict_rules(problems, folder),
        env_sets=load_env_sets(problems, secrets, envs),
        env_layers=layers,
        test_envs=test_envs,
        pass_through=pass_through,
        secrets=secrets,
        discovery=discovery,
        dependencies=dependencies,
        guards=load_guards(problems, folder, flavours=dependencies.flavours),
        images=load_images(problems, folder, families=families(hardware), pools=pools),
        containers=load_containers(problems, folder, hardware),
        health=load_health(problems, folder),
        builds=load_builds(problems, folder),
        changes=load_changes(problems, folder, trees=discovery.trees),
        parity=load_parity(problems, folder),
        actions=load_actions(problems, folder, families=families(hardware)),
    )
    _cross_check(catalog, problems)
    check_changes(catalog.changes, catalog.suites, problems)
    return catalog, tuple(problems)


def load_catalog(folder: Path = CATALOG_DIR, envs: Path = ENVS_DIR) -> Catalog:
    """The catalog, if nothing is wrong with it. What is wrong with `quarantine.toml` is left to `ci.plan.quarantine`.

    Raises:
        UsageError: with every problem of every file.
    """
    catalog, problems = read_catalog(folder, envs)
    if problems:
        raise UsageError(
            "the catalog can't be used", problems=problems, then="mend the rows, then: nox -s check"
        )
    return catalog


def _runners(
    problems: list[Problem], folder: Path, hardware: HardwareCatalog
) -> tuple[Mapping[str, Pool], tuple[Label, ...], tuple[Routing, ...]]:
    tables = Tables(folder / "runners.toml", problems, arrays=("pool", "label", "routing"))
    pool_rows, label_rows, routing_rows = tables.rows("pool"), tables.rows("label"), tables.rows("routing")
    for rows, key in ((pool_rows, "id"), (label_rows, "label"), (routing_rows, "id")):
        tables.unique(rows, key)
    pools = {}
    for row in pool_rows:
        pool = Pool(
            id=row.text("id"),
            hardware=row.text("hardware", among=hardware.classes),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        pools[pool.id] = pool
    labels = []
    for row in label_rows:
        labels.append(
            Label(
                label=row.text("label"),
                pool=row.text("pool", among=pools),
                gpus=row.whole("gpus", least=1),
                fabric=row.flag("fabric"),
            )
        )
        row.done()
    routings = [_routing(row, pools, hardware) for row in routing_rows]
    for family in families(hardware):
        active = [routing.id for routing in routings if routing.family == family and routing.in_force]
        if len(active) != 1:
            what = f"{len(active)} rows of family {family} are in force: {', '.join(active) or 'none'}"
            tables.problem("routing", what, "set in_force = true in exactly one of them")
    return pools, tuple(labels), tuple(routings)


def _routing(row: Row, pools: Mapping[str, Pool], hardware: HardwareCatalog) -> Routing:
    routing = Routing(
        id=row.text("id"),
        family=row.text("family", among=families(hardware)),
        since=row.text("since", matches=r"\d{4}-\d\d-\d\d"),
        in_force=row.flag("in_force"),
        pool_by_event={event: row.text(key, among=pools) for key, event in _EVENTS.items()},
        why=row.text("why"),
        source=row.text("source"),
    )
    for pool in set(routing.pool_by_event.values()) & set(pools):
        family = _family(hardware, pools[pool].hardware)
        if family != routing.family:
            row.problem("family", f"is {routing.family!r}, but pool {pool!r} is of family {family!r}")
    row.done()
    return routing


def _engines(problems: list[Problem], folder: Path, hardware: HardwareCatalog) -> Mapping[str, Engine]:
    tables = Tables(folder / "engines.toml", problems, arrays=("engine",))
    rows = tables.rows("engine")
    tables.unique(rows)
    engines = {}
    for row in rows:
        engine = Engine(
            id=row.text("id"),
            package=row.text("package"),
            features=row.texts("features"),
            default_for=row.texts("default_for", among=hardware.classes),
            launch_s=row.number("launch_s", above=0),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        engines[engine.id] = engine
    for hardware_class in hardware.classes:
        defaults = [engine.id for engine in engines.values() if hardware_class in engine.default_for]
        if len(defaults) != 1:
            what = f"{len(defaults)} engines are the default for {hardware_class}: {', '.join(defaults) or 'none'}"
            tables.problem("engine", what, "name it in default_for of exactly one row")
    return engines


def _models(
    problems: list[Problem], folder: Path, engines: Mapping[str, Engine]
) -> tuple[Mapping[str, Model], Mapping[str, StandIn]]:
    tables = Tables(folder / "models.toml", problems, arrays=("model", "stand_in"))
    model_rows, stand_in_rows = tables.rows("model"), tables.rows("stand_in")
    tables.unique(model_rows)
    tables.unique(stand_in_rows)
    stand_ins = {}
    for row in stand_in_rows:
        stand_in = StandIn(
            id=row.text("id"),
            engine=row.text("engine", among=engines),
            package=row.text("package"),
            file=row.text("file"),
            slots=row.whole("slots", least=1),
            context=row.whole("context", least=1),
            threads=row.whole("threads", least=1),
            sizes=_sizes(row),
            source=row.text("source"),
        )
        row.done()
        stand_ins[stand_in.id] = stand_in
    models = {}
    for row in model_rows:
        model = Model(
            id=row.text("id"), stand_in=row.text("stand_in", "", among=stand_ins), source=row.text("source")
        )
        row.done()
        models[model.id] = model
    return models, stand_ins


def _sizes(row: Row) -> Sizes:
    sizes: dict[str, dict[str, int | float | tuple[int, ...]]] = {}
    for kind, values in row.mapping("sizes").items():
        if not isinstance(values, dict):
            row.problem(f"sizes.{kind}", f"is {values!r}, not a table")
            continue
        sizes[kind] = {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}
    return sizes


def _verdict_rules(problems: list[Problem], folder: Path) -> tuple[VerdictRule, ...]:
    tables = Tables(folder / "verdicts.toml", problems, arrays=("rule",))
    rows = tables.rows("rule")
    tables.unique(rows)
    rules = []
    for row in rows:
        rule = VerdictRule(
            id=row.text("id"),
            verdict=Verdict.of_name(row.text("verdict", among=tuple(Verdict))),
            pattern=row.text("pattern"),
            why=row.text("why"),
            source=row.text("source"),
        )
        if rule.verdict not in CAUSES:
            row.problem(
                "verdict", f"is '{rule.verdict}', which no rule can give", closest(rule.verdict, CAUSES)
            )
        try:
            re.compile(rule.pattern)
        except re.error as error:
            row.problem("pattern", f"is not a regular expression: {error}")
        row.done()
        rules.append(rule)
    return tuple(rules)


def _environment(
    problems: list[Problem], folder: Path, hardware: HardwareCatalog
) -> tuple[tuple[EnvLayer, ...], tuple[TestEnv, ...], tuple[PassThrough, ...], tuple[SecretWords, ...]]:
    arrays = ("layer", "test_env", "pass_through", "secret")
    tables = Tables(folder / "environment.toml", problems, arrays=arrays)
    layer_rows = tables.rows("layer")
    tables.unique(layer_rows)
    layers = []
    for row in layer_rows:
        layers.append(
            EnvLayer(
                id=row.text("id"),
                family=row.text("family", "", among=families(hardware)),
                sets=row.texts("sets"),
                why=row.text("why"),
            )
        )
        row.done()
    test_rows = tables.rows("test_env", "test")
    tables.unique(test_rows, "test")
    tests = []
    for row in test_rows:
        tests.append(TestEnv(test=row.text("test"), sets=row.texts("sets"), why=row.text("why")))
        row.done()
    passing = []
    for row in tables.rows("pass_through"):
        passing.append(
            PassThrough(
                names=row.texts("names"),
                prefixes=row.texts("prefixes", []),
                host_only=row.flag("host_only"),
                why=row.text("why"),
            )
        )
        row.done()
    secrets = []
    for row in tables.rows("secret"):
        secrets.append(SecretWords(words=row.texts("words"), why=row.text("why")))
        row.done()
    return tuple(layers), tuple(tests), tuple(passing), tuple(secrets)


def _cross_check(catalog: Catalog, problems: list[Problem]) -> None:
    """References between files."""
    holders: Sequence[tuple[str, Sequence[str]]] = (
        *((f"catalog/stages.toml: stage[{stage.id}]", stage.env_sets) for stage in catalog.stages),
        *((f"catalog/stages.toml: suite[{suite.id}]", suite.env_sets) for suite in catalog.suites),
        *((f"catalog/environment.toml: layer[{layer.id}]", layer.sets) for layer in catalog.env_layers),
        *((f"catalog/environment.toml: test_env[{row.test}]", row.sets) for row in catalog.test_envs),
    )
    for where, names in holders:
        for name in names:
            if name not in catalog.env_sets:
                hint = closest(name, catalog.env_sets)
                problems.append(Problem(where=where, what=f"names env set {name!r}", hint=hint))
    for suite in catalog.suites:
        where = f"catalog/stages.toml: suite[{suite.id}]"
        if suite.family not in families(catalog.hardware):
            hint = closest(suite.family, families(catalog.hardware))
            problems.append(
                Problem(where=f"{where}.family", what=f"is {suite.family!r}, not known", hint=hint)
            )
        elif not _fitting_labels(catalog, suite):
            kind = "fabric label" if suite.fabric else "label"
            what = f"no runner {kind} of family {suite.family} has {suite.gpus} GPUs"
            problems.append(Problem(where=where, what=what, hint="add a [[label]] to runners.toml"))


def _fitting_labels(catalog: Catalog, suite: Suite) -> list[Label]:
    return [
        label
        for label in catalog.labels
        if label.gpus == suite.gpus
        and label.fabric == suite.fabric
        and label.pool in catalog.pools
        and _family(catalog.hardware, catalog.pools[label.pool].hardware) == suite.family
    ]
