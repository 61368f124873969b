"""From rows and tests to a scenario."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ci.catalog.catalog import Catalog
from ci.catalog.change_rules import Selects
from ci.catalog.fleet import Arrival
from ci.catalog.registrations.parse import Discovery
from ci.catalog.stages import Split, Suite
from ci.errors import Problem, UsageError
from ci.plan.fleet.model import Change, JobSpec, Policy, PoolSpec, Scenario, Traffic
from ci.plan.route import label_of
from ci.plan.select import Estimate, estimates
from ci.plan.shards import split

__all__ = ["Fleet", "Load", "Settings", "load_of", "scenario_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A catalog and the estimates of each suite's tests, by name."""

    catalog: Catalog
    tests: Mapping[str, tuple[Estimate, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long is simulated, and numbers that replace those of the rows: events a day by arrival, GPUs by pool."""

    days: float = 3.0
    warm_up_days: float = 1.0
    seed: int = 1
    per_day: Mapping[str, float] = field(default_factory=dict)
    gpus: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What of a scenario may be tried otherwise; empty and None are what the rows say.

    `shards` are by suite, `routing` rows by family.
    """

    shards: Mapping[str, int] = field(default_factory=dict)
    routing: Mapping[str, str] = field(default_factory=dict)
    even: bool = False
    gates: bool | None = None
    fail_fast: bool | None = None
    selection: bool = True


def load_of(catalog: Catalog, tests: Discovery, fixed_files: Collection[str]) -> Load:
    """The estimates of every suite's enabled tests."""
    return Load(
        catalog=catalog,
        tests={suite.name: estimates(tests, suite, fixed_files) for suite in catalog.suites},
    )


def scenario_of(load: Load, settings: Settings, fleet: Fleet) -> Scenario:
    """The fleet as the rows, the settings and what is tried have it.

    Raises:
        UsageError: with every pool or arrival that does not exist, and every number of GPUs that makes no machine.
    """
    rows = load.catalog.fleet
    _check(load.catalog, settings)
    catalog = load.catalog
    notes: dict[str, None] = {}
    waves = _waves(catalog)
    traffic = tuple(
        Traffic(
            id=row.id,
            per_day=settings.per_day.get(row.id, row.per_day),
            by_hour=row.by_hour,
            jobs=tuple(_jobs(catalog, load, row, fleet, waves, notes)),
            changes=_changes(catalog, row, fleet),
            gates=row.gates if fleet.gates is None or not row.selective else fleet.gates,
        )
        for row in rows.arrivals
    )
    return Scenario(
        pools=tuple(
            PoolSpec(
                id=row.pool,
                machines=settings.gpus[row.pool] // row.gpus if row.pool in settings.gpus else row.count,
                gpus=row.gpus,
                pull_s=row.pull_s,
                pull_each_s=row.pull_each_s,
                registries=row.registries,
                set_up_s=row.set_up_s,
                spread=row.spread,
            )
            for row in rows.machines.values()
        ),
        traffic=tuple(each for each in traffic if each.jobs),
        failures=rows.failures,
        policy=Policy(
            queue=rows.policy.queue,
            fail_fast=rows.policy.fail_fast if fleet.fail_fast is None else fleet.fail_fast,
            reruns=rows.policy.reruns,
            rerun_after_s=rows.policy.rerun_after_s,
            spread=rows.policy.spread,
        ),
        days=settings.days,
        warm_up_days=settings.warm_up_days,
        seed=settings.seed,
        notes=tuple(notes),
    )


def _check(catalog: Catalog, settings: Settings) -> None:
    rows = catalog.fleet
    problems = [
        Problem(where="--per-day", what=f"unknown arrival {name!r}", hint=", ".join(known))
        for name in settings.per_day
        if name not in (known := [row.id for row in rows.arrivals])
    ]
    for pool, gpus in settings.gpus.items():
        row = rows.machines.get(pool)
        if row is None:
            hint = ", ".join(rows.machines)
            problems.append(Problem(where="--gpus", what=f"unknown pool {pool!r}", hint=hint))
        elif gpus < row.gpus or gpus % row.gpus:
            what = f"{pool}={gpus} makes no whole machines"
            problems.append(Problem(where="--gpus", what=what, hint=f"a multiple of {row.gpus}"))
    if problems:
        raise UsageError("the fleet cannot be simulated", problems=problems, then="nox -s fleet -- --help")


def _waves(catalog: Catalog) -> Mapping[str, int]:
    """The depth of each stage in the chain of `after`."""
    depth: dict[str, int] = {}
    for stage in catalog.stages:
        depth[stage.id] = max((depth.get(name, 0) + 1 for name in stage.after), default=0)
    return depth


def _jobs(
    catalog: Catalog,
    load: Load,
    arrival: Arrival,
    fleet: Fleet,
    waves: Mapping[str, int],
    notes: dict[str, None],
) -> list[JobSpec]:
    found: list[JobSpec] = []
    for suite in catalog.suites:
        tests = load.tests.get(suite.name, ())
        if suite.stage not in arrival.stages or not tests:
            continue
        asked = _asked_pool(catalog, suite, arrival.event, fleet)
        pool = label_of(catalog, suite, arrival.event, pool=asked).pool
        if not pool:
            notes[f"{suite.name} is left out: its runner label is of no pool"] = None
            continue
        machines = catalog.fleet.machines.get(pool)
        if machines is None:  # a new pool works without: how many machines it has is for the simulation alone
            notes[f"{suite.name} is left out: fleet.toml has no [[machines]] of pool {pool}"] = None
            continue
        if suite.gpus > machines.gpus:
            notes[f"{suite.name} is left out: it needs {suite.gpus} GPUs, a machine of {pool} has fewer"] = (
                None
            )
            continue
        longest_s = max(test.est_s for test in tests) * catalog.fleet.policy.factor
        if longest_s > suite.timeout_s:
            notes[f"{suite.name}: a file's estimate exceeds the limit of its shard, which then ends it"] = (
                None
            )
        found += _shards(catalog, suite, tests, pool, fleet, waves[suite.stage])
    return found


def _asked_pool(catalog: Catalog, suite: Suite, event: str, fleet: Fleet) -> str:
    """The pool of the routing that is tried; empty where the catalog's own holds, or the tree's that it follows."""
    if suite.family not in fleet.routing:
        return ""
    row = next(row for row in catalog.routings if row.id == fleet.routing[suite.family])
    return row.pool_by_event.get(event, row.pull_request)


def _shards(
    catalog: Catalog, suite: Suite, tests: Sequence[Estimate], pool: str, fleet: Fleet, wave: int
) -> list[JobSpec]:
    rule = Split.EVEN if fleet.even else suite.split
    parts = split(tests, fleet.shards.get(suite.name, suite.shards), rule)
    return [
        JobSpec(
            suite=suite.name,
            pool=pool,
            gpus=suite.gpus,
            work_s=catalog.fleet.policy.factor * sum(test.est_s for test in part),
            timeout_s=suite.timeout_s,
            wave=wave,
            usual=not suite.when,
        )
        for part in parts
        if part
    ]


def _changes(catalog: Catalog, arrival: Arrival, fleet: Fleet) -> tuple[Change, ...]:
    if not arrival.selective:
        return (Change(selects=Selects.EVERYTHING, share=1.0),)
    return tuple(
        Change(selects=row.selects if fleet.selection else Selects.EVERYTHING, share=row.share)
        for row in catalog.fleet.changes
    )
