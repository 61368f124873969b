"""What a simulated fleet does, on scenarios small enough to be worked out by hand."""

import math
from dataclasses import replace

import pytest

from ci.catalog.change_rules import Selects
from ci.catalog.fleet import Failure, QueueOrder
from ci.plan.fleet.gpus import GpuPool, Ticket
from ci.plan.fleet.model import Change, Durations, JobSpec, Policy, PoolSpec, Scenario, Traffic
from ci.plan.fleet.simulate import simulate

HOUR_S = 3600.0


def job(suite: str, work_s: float, *, gpus: int = 1, wave: int = 0, usual: bool = True) -> JobSpec:
    return JobSpec(
        suite=suite, pool="p", gpus=gpus, work_s=work_s, timeout_s=math.inf, wave=wave, usual=usual
    )


def scenario(*jobs: JobSpec, machines: int = 50, per_day: float = 20, **changes: object) -> Scenario:
    """Jobs of as many seconds as they say, on machines of 8 GPUs, most of them idle."""
    traffic = Traffic(
        id="changes",
        per_day=per_day,
        by_hour=(1.0,) * 24,
        jobs=jobs,
        changes=(Change(selects=Selects.EVERYTHING, share=1.0),),
        gates=True,
    )
    made = Scenario(
        pools=(PoolSpec(id="p", machines=machines, gpus=8),),
        traffic=(traffic,),
        failures={},
        policy=Policy(durations=Durations.FIXED),
        days=5,
        warm_up_days=0,
        seed=3,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the keywords are Scenario's own


def test_without_a_wait_a_change_is_green_after_its_longest_job_of_each_stage() -> None:
    found = simulate(scenario(job("a", 60), job("b", 600, wave=1), job("c", 300, wave=1))).main
    assert found.green == found.events > 50
    assert found.green_p50_s == found.green_p90_s == pytest.approx(660)


def test_without_gates_all_stages_run_at_once() -> None:
    gated = scenario(job("a", 60), job("b", 600, wave=1))
    traffic = replace(gated.traffic[0], gates=False)
    found = simulate(replace(gated, traffic=(traffic,)))
    assert found.main.green_p90_s == pytest.approx(600)


def test_gpu_hours_are_those_of_the_jobs_with_their_set_up() -> None:
    pool = PoolSpec(id="p", machines=50, gpus=8, pull_s=240, set_up_s=120)
    found = simulate(scenario(job("a", 1440, gpus=4), pools=(pool,)))
    count = found.main.events
    assert found.pools[0].gpu_h == pytest.approx(count * 4 * 0.5, rel=0.02)
    assert found.pools[0].set_up_gpu_h == pytest.approx(count * 4 * 0.1, rel=0.02)
    assert found.pools[0].utilisation == pytest.approx(found.pools[0].gpu_h / (400 * 5 * 24))


def test_a_broken_change_ends_at_its_first_stage_where_there_are_gates() -> None:
    jobs = (job("a", 60), job("b", 6000, gpus=8, wave=1))
    pool = PoolSpec(id="p", machines=50, gpus=8, set_up_s=100)
    found = simulate(scenario(*jobs, pools=(pool,), failures={Failure.BROKEN: 1.0}))
    assert found.main.red == found.main.events
    assert found.main.red_p90_s == pytest.approx(100)
    assert found.pools[0].set_up_gpu_h == pytest.approx(found.pools[0].gpu_h), "all of it was set-up"
    assert found.jobs == found.main.events


def test_fail_fast_ends_the_other_jobs_of_a_red_change() -> None:
    jobs = tuple(job(name, 3600) for name in "abcdefgh")
    slow = scenario(*jobs, failures={Failure.PRODUCT: 1.0})
    fast = replace(slow, policy=replace(slow.policy, fail_fast=True))
    assert simulate(fast).pools[0].gpu_h < 0.9 * simulate(slow).pools[0].gpu_h


def test_what_fails_by_chance_runs_again_and_costs_time_and_gpus() -> None:
    jobs = tuple(job(name, 600) for name in "abcdefgh")
    policy = Policy(durations=Durations.FIXED, reruns=9, rerun_after_s=900)
    calm = scenario(*jobs, policy=policy)
    found = simulate(replace(calm, failures={Failure.CHANCE: 0.1}))
    assert found.main.unlucky == found.main.red == 0
    assert found.main.green_p90_s > 600 + 900
    assert found.pools[0].lost_gpu_h > 0
    assert found.jobs > simulate(calm).jobs


def test_chance_that_is_not_tried_again_leaves_changes_unlucky() -> None:
    found = simulate(scenario(job("a", 600), failures={Failure.CHANCE: 0.5})).main
    assert found.unlucky + found.green == found.events
    assert found.unlucky == pytest.approx(found.events / 2, rel=0.3)
    assert found.green_p90_s == math.inf


def test_each_pull_under_way_slows_the_next_and_a_second_registry_helps() -> None:
    slow = PoolSpec(id="p", machines=50, gpus=8, pull_s=300, pull_each_s=30)
    jobs = tuple(job(name, 60) for name in "abcdefgh")
    one = simulate(scenario(*jobs, pools=(slow,))).main.green_p50_s
    two = simulate(scenario(*jobs, pools=(replace(slow, registries=2),))).main.green_p50_s
    assert one == pytest.approx(300 + 7 * 30 + 60)
    assert two == pytest.approx(300 + 3 * 30 + 60)


@pytest.mark.parametrize(
    ("selects", "jobs"),
    [(Selects.NOTHING, 0), (Selects.REGISTERED, 1), (Selects.DEFAULT, 2), (Selects.EVERYTHING, 3)],
)
def test_a_change_starts_the_jobs_that_it_selects(selects: Selects, jobs: int) -> None:
    whole = scenario(job("a", 60), job("b", 60), job("kernel", 60, usual=False))
    traffic = replace(whole.traffic[0], changes=(Change(selects=selects, share=1.0),))
    found = simulate(replace(whole, traffic=(traffic,)))
    assert found.jobs == jobs * found.main.events
    assert found.main.idle == (0 if jobs else found.main.events)


def test_changes_that_the_fleet_cannot_finish_are_never_green() -> None:
    found = simulate(scenario(job("a", 20 * HOUR_S, gpus=8), machines=1, per_day=10))
    assert found.main.unfinished > 0
    assert found.main.green_p90_s == math.inf
    assert found.pools[0].offered > 1
    assert found.pools[0].waiting > 0


def test_the_same_seed_gives_the_same_result_and_another_seed_another() -> None:
    busy = scenario(job("a", 7000, gpus=2), machines=1, per_day=40)
    # as text: a share of no event is not a number, which equals nothing
    assert str(simulate(busy)) == str(simulate(busy))
    assert str(simulate(busy)) != str(simulate(replace(busy, seed=4)))


def test_arrivals_follow_the_hours_of_the_day() -> None:
    noon = scenario(job("a", 600), per_day=200)
    traffic = replace(noon.traffic[0], by_hour=tuple(float(hour == 12) for hour in range(24)))
    hours = simulate(replace(noon, traffic=(traffic,))).pools[0].hours
    assert max(range(24), key=lambda hour: hours[hour].busy_gpus) == 12
    assert sum(row.busy_gpus for hour, row in enumerate(hours) if hour not in (12, 13)) == 0


class TestTheQueue:
    """One machine of 8 GPUs, of which 4 are taken."""

    def asked(self, order: QueueOrder) -> list[str]:
        pool = GpuPool(PoolSpec(id="p", machines=1, gpus=8), order, counted_s=(0, HOUR_S))
        granted: list[str] = []

        def ask(name: str, gpus: int) -> Ticket:
            ticket = Ticket(gpus, 0, lambda: granted.append(name))
            pool.ask(ticket, 0)
            return ticket

        ask("first", 4)
        large = ask("large", 8)
        ask("small", 2)
        granted.append("|")
        pool.withdraw(large, 1)
        return granted

    def test_nobody_is_overtaken_where_the_first_comes_first(self) -> None:
        assert self.asked(QueueOrder.FIRST_COME) == ["first", "|", "small"]

    def test_what_fits_may_overtake(self) -> None:
        assert self.asked(QueueOrder.FIRST_FIT) == ["first", "small", "|"]
