"""Variants and the search, on scenarios from the fixture catalog."""

import math
from dataclasses import replace

import pytest

from ci.errors import UsageError
from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.scenario import Fleet, Load, Settings, load_of, scenario_of
from ci.plan.fleet.search import Goal, search
from ci.plan.fleet.simulate import simulate
from ci.plan.fleet.variants import AS_IS, variants
from support.planning import STAGE_A, STAGE_B_SMALL, catalog, discovery, registration

SETTINGS = Settings(days=2, warm_up_days=0)
CALM = Settings(days=2, warm_up_days=0, gpus={"north": 800})


def load(shards: int = 2, limit_s: float = 10_000) -> Load:
    """One short file in stage a, eight of ten minutes in stage b."""
    rows = catalog()
    suites = [
        replace(suite, shards=shards, timeout_s=limit_s) if suite.name == STAGE_B_SMALL else suite
        for suite in rows.suites
    ]
    tests = [registration("test/registered/test_a.py", STAGE_A, 60)]
    tests += [registration(f"test/registered/test_{at}.py", STAGE_B_SMALL, 600) for at in range(8)]
    rows = replace(rows, suites=tuple(suites))
    return load_of(rows, discovery(tests), ())


def runner(given: Load, settings: Settings = CALM) -> FleetResult:
    return simulate(scenario_of(given, settings, Fleet()))


def test_the_jobs_are_the_shards_with_the_pool_of_the_routing() -> None:
    (traffic,) = scenario_of(load(), SETTINGS, Fleet()).traffic
    small = [job for job in traffic.jobs if job.suite == STAGE_B_SMALL]
    assert [job.work_s for job in small] == [2400, 2400]
    assert {(job.pool, job.gpus, job.wave) for job in small} == {("north", 1, 1)}


def test_the_fewest_shards_within_the_goal_are_found() -> None:
    """Four files of ten minutes a shard and 5 min of set-up for the two stages: 45 min is met by 2 shards, not by 1."""
    given = load(shards=5)
    goal = Goal(green_p90_s=50 * 60, gpu_h_a_day=math.inf)
    calm = replace(given.catalog.fleet, failures={})
    given = replace(given, catalog=replace(given.catalog, fleet=calm))
    found = search(given, Fleet(), goal, lambda fleet: simulate(scenario_of(given, CALM, fleet)))
    assert found.met
    assert found.fleet.shards == {STAGE_B_SMALL: 2}
    costs = [step.gpu_h_a_day for step in found.steps]
    assert costs == sorted(costs, reverse=True)


def test_more_shards_are_added_until_the_goal_is_met() -> None:
    given = load(shards=1)
    calm = replace(given.catalog.fleet, failures={})
    given = replace(given, catalog=replace(given.catalog, fleet=calm))
    goal = Goal(green_p90_s=30 * 60, gpu_h_a_day=math.inf)
    found = search(given, Fleet(), goal, lambda fleet: simulate(scenario_of(given, CALM, fleet)))
    assert found.met
    assert found.fleet.shards[STAGE_B_SMALL] >= 4


def test_no_shard_is_made_longer_than_its_limit() -> None:
    given = load(shards=4, limit_s=1200)
    goal = Goal(green_p90_s=math.inf, gpu_h_a_day=math.inf)
    found = search(given, Fleet(), goal, lambda fleet: simulate(scenario_of(given, CALM, fleet)))
    assert found.fleet.shards.get(STAGE_B_SMALL, 4) == 4


def test_a_goal_that_cannot_be_met_is_said_and_the_simulations_are_counted() -> None:
    given = load()
    goal = Goal(green_p90_s=60, gpu_h_a_day=math.inf, simulations=9)
    found = search(given, Fleet(), goal, lambda fleet: simulate(scenario_of(given, CALM, fleet)))
    assert not found.met
    assert found.simulations <= 9


def test_the_first_variant_is_the_fleet_as_it_is_and_no_two_have_one_name() -> None:
    found = list(variants(load(), Fleet()))
    assert (found[0].name, found[0].fleet) == (AS_IS, Fleet())
    assert len({variant.name for variant in found}) == len(found)


def test_gates_cost_time_and_save_gpus_of_broken_changes() -> None:
    given = load()
    broken = {kind: (0.5 if kind == "broken" else 0.0) for kind in given.catalog.fleet.failures}
    given = replace(
        given, catalog=replace(given.catalog, fleet=replace(given.catalog.fleet, failures=broken))
    )
    gated = simulate(scenario_of(given, CALM, Fleet()))
    at_once = simulate(scenario_of(given, CALM, Fleet(gates=False)))
    assert at_once.main.green_p90_s < gated.main.green_p90_s
    assert at_once.gpu_h_a_day > gated.gpu_h_a_day


def test_numbers_that_make_no_fleet_are_all_named() -> None:
    wrong = Settings(per_day={"pushes": 4}, gpus={"north": 12, "east": 8})
    with pytest.raises(UsageError) as caught:
        scenario_of(load(), wrong, Fleet())
    assert [problem.what for problem in caught.value.problems] == [
        "unknown arrival 'pushes'",
        "north=12 makes no whole machines",
        "unknown pool 'east'",
    ]
