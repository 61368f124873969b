"""The whole catalog: read once, checked whole, every problem reported at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ci.catalog.bounds import Bound, load_bounds
from ci.catalog.capabilities import Capability, load_capabilities
from ci.catalog.change_rules import ChangeRules, check_changes, load_changes
from ci.catalog.clusters import Cluster, Runtime, load_clusters
from ci.catalog.columns import Row
from ci.catalog.containers import Containers, load_containers
from ci.catalog.coverage import CoverageRules, load_coverage
from ci.catalog.cpu_tests import CpuTests, load_cpu_tests
from ci.catalog.decode import Reader
from ci.catalog.dependencies import Dependencies, load_dependencies
from ci.catalog.discovery import DiscoveryRules, load_discovery
from ci.catalog.engines import Engine, load_engines
from ci.catalog.environment import EnvLayer, PassThrough, SecretWords, TestEnv, load_environment
from ci.catalog.envsets import ENVS_DIR, EnvSet, load_env_sets
from ci.catalog.fleet import FleetRows, load_fleet
from ci.catalog.guards import Guards, load_guards
from ci.catalog.hardware import HardwareCatalog, load_hardware
from ci.catalog.health import HealthRows, load_health
from ci.catalog.image_builds import BuildRows, load_builds
from ci.catalog.images import ImageCatalog, load_images
from ci.catalog.limits import Limits, load_limits
from ci.catalog.models import Model, StandIn, load_models
from ci.catalog.parity import ParityRules, load_parity
from ci.catalog.quarantine import QuarantineTable, load_quarantine
from ci.catalog.roles import RoleRow, load_roles
from ci.catalog.runners import Label, Pool, Routing, load_runners
from ci.catalog.sglang import SglangRows, load_sglang
from ci.catalog.slots import SlotRows, load_slots
from ci.catalog.stages import Preflight, Retry, Stage, Suite, load_stages
from ci.catalog.toml_reader import CATALOG_DIR, closest
from ci.catalog.verdict_rules import VerdictRule, load_verdict_rules
from ci.catalog.workflows import ActionsCatalog, load_actions
from ci.errors import Problem, UsageError

__all__ = ["Catalog", "Followed", "load_catalog", "read_catalog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a checkout says of a suite: its runner's label, empty when it does not say, and the place of each value by field."""

    label: str
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All rows."""

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
    cpu_tests: CpuTests
    coverage: CoverageRules
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
    fleet: FleetRows
    actions: ActionsCatalog
    sglang: SglangRows
    slots: SlotRows
    clusters: Mapping[str, Cluster]
    runtimes: Mapping[str, Runtime]
    roles: tuple[RoleRow, ...]
    reader: Reader = field(repr=False, compare=False)
    # suites whose row follows a checkout, by name
    followed: Mapping[str, Followed] = field(default_factory=dict)

    def where(self, row: Row, key: str = "") -> str:
        """File, line and name of a row, for problems that are found when the catalog is used."""
        return self.reader.where(row, key)

    @property
    def sound(self) -> bool:
        """Whether it holds every row of its files; invalid ones are left out."""
        return not self.reader.problems

    def may_exist(self, name: str, known: Collection[str]) -> bool:
        """Whether a name is known, or is that of a row that was left out."""
        return self.reader.may_exist(name, known)

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id.

        Raises:
            UsageError: unknown stage, with the nearest names.
        """
        for stage in self.stages:
            if stage_id in (stage.id, stage.session):
                return stage
        known = [stage.id for stage in self.stages]
        raise UsageError(f"unknown stage {stage_id!r}", cause=closest(stage_id, known), then="nox -l")

    def source_of(self, suite: Suite, column: str) -> str:
        """Where a value of a suite comes from: the checkout that it follows, else its row."""
        followed = self.followed.get(suite.name)
        stated = followed.sources.get(column, "") if followed is not None else ""
        return f"the tree's {stated}" if stated else f"suite[{suite.id}]"

    def suites_of(self, stage_id: str) -> tuple[Suite, ...]:
        """The suites of a stage, in the catalog's order."""
        return tuple(suite for suite in self.suites if suite.stage == stage_id)

    def roles_of(self, suite: str) -> tuple[RoleRow, ...]:
        """The rows of a suite's roles, by the suite's name; empty for one without."""
        return tuple(row for row in self.roles if row.suite == suite)

    def family_of(self, hardware_class: str) -> str:
        """`mi30x`, `mi35x` or `cpu`."""
        return self.hardware.classes[hardware_class].family

    def default_engine(self, hardware_class: str) -> str:
        """The engine that serves this hardware class by default; checked when the catalog is read."""
        return next(
            engine.id
            for engine in self.engines.values()
            if (service := engine.services.get(hardware_class)) is not None and service.default
        )


def read_catalog(folder: Path = CATALOG_DIR, envs: Path = ENVS_DIR) -> tuple[Catalog, tuple[Problem, ...]]:
    """The catalog and everything that is wrong with it; rows with faults are left out."""
    reader = Reader(folder)
    hardware = load_hardware(reader)
    families = hardware.families
    table = load_stages(reader)
    runners = load_runners(reader, hardware)
    engines = load_engines(reader, hardware)
    models, stand_ins = load_models(reader)
    environment = load_environment(reader, families=families)
    discovery = load_discovery(reader)
    slurm = load_clusters(reader, hardware)
    dependencies = load_dependencies(reader, families=families)
    catalog = Catalog(
        stages=table.stages,
        suites=table.suites,
        preflights=table.preflights,
        retries=table.retries,
        pools=runners.pools,
        labels=runners.labels,
        routings=runners.routings,
        hardware=hardware,
        engines=engines,
        models=models,
        stand_ins=stand_ins,
        bounds=load_bounds(reader, hardware, engines),
        capabilities=load_capabilities(reader, hardware, engines),
        quarantine=load_quarantine(reader, hardware),
        limits=load_limits(reader),
        verdict_rules=load_verdict_rules(reader),
        cpu_tests=load_cpu_tests(reader),
        coverage=load_coverage(reader),
        env_sets=load_env_sets(reader.problems, environment.secrets, envs),
        env_layers=environment.layers,
        test_envs=environment.tests,
        pass_through=environment.pass_through,
        secrets=environment.secrets,
        discovery=discovery,
        dependencies=dependencies,
        guards=load_guards(reader, flavours=dependencies.flavours),
        images=load_images(reader, families=families, pools=runners.pools),
        containers=load_containers(reader, hardware),
        health=load_health(reader),
        builds=load_builds(reader),
        changes=load_changes(reader, trees=discovery.trees),
        parity=load_parity(reader),
        fleet=load_fleet(reader, runners, [stage.id for stage in table.stages]),
        actions=load_actions(reader, families=families),
        sglang=load_sglang(reader),
        slots=load_slots(reader),
        clusters=slurm.clusters,
        runtimes=slurm.runtimes,
        roles=load_roles(reader, table.suites, models),
        reader=reader,
    )
    _check_references(reader, catalog)
    return catalog, tuple(reader.problems)


def load_catalog(folder: Path = CATALOG_DIR, envs: Path = ENVS_DIR) -> Catalog:
    """The catalog, if nothing is wrong with it. What is wrong with `quarantine.toml` is left to `ci.plan.quarantine`.

    Raises:
        UsageError: with every problem of every file.
    """
    catalog, problems = read_catalog(folder, envs)
    if problems:
        raise UsageError(
            "the catalog has problems", problems=problems, then="fix these rows, then: nox -s check"
        )
    return catalog


def _check_references(reader: Reader, catalog: Catalog) -> None:
    """References between files that are read side by side."""
    stages, environment, engines = (
        reader.opened(name) for name in ("stages.toml", "environment.toml", "engines.toml")
    )
    for file, array, key in (
        (stages, "stage", "env_sets"),
        (stages, "suite", "env_sets"),
        (environment, "layer", "sets"),
        (environment, "test_env", "sets"),
        (engines, "service", "env_sets"),
    ):
        file.refer(array, key, "env set", catalog.env_sets)
    stages.refer("suite", "family", "hardware family", catalog.hardware.families)
    check_changes(reader, catalog.changes, catalog.suites)
