"""The simulation against the theory of queues. Seeds are fixed, so a result is the same on every machine.

Each mean is over replications with other seeds; the tolerance is several times the standard error of their mean.
"""

import math

import pytest

from ci.catalog.change_rules import Selects
from ci.catalog.fleet import QueueOrder
from ci.plan.fleet.model import Change, Durations, JobSpec, Policy, PoolResult, PoolSpec, Scenario, Traffic
from ci.plan.fleet.simulate import simulate

HOUR_S = 3600.0
SERVICE_S = 600.0
REPLICATIONS = 5
DAYS = 20.0


def queue(machines: int, load: float, durations: Durations, seed: int, order: QueueOrder) -> PoolResult:
    """Jobs of one GPU on machines of one GPU, with a Poisson process of arrivals."""
    per_day = load * machines * 24 * HOUR_S / SERVICE_S
    job = JobSpec(suite="s", pool="p", gpus=1, work_s=SERVICE_S, timeout_s=math.inf)
    scenario = Scenario(
        pools=(PoolSpec(id="p", machines=machines, gpus=1),),
        traffic=(
            Traffic(
                id="t",
                per_day=per_day,
                by_hour=(1.0,) * 24,
                jobs=(job,),
                changes=(Change(selects=Selects.EVERYTHING, share=1.0),),
            ),
        ),
        failures={},
        policy=Policy(queue=order, durations=durations),
        days=DAYS,
        warm_up_days=2,
        seed=seed,
    )
    return simulate(scenario).pools[0]


def mean_wait_s(machines: int, load: float, durations: Durations, order: QueueOrder) -> float:
    found = [queue(machines, load, durations, seed, order) for seed in range(REPLICATIONS)]
    return sum(one.wait_mean_s for one in found) / REPLICATIONS


def mmc_wait_s(servers: int, load: float) -> float:
    """Erlang C: the mean wait of M/M/c."""
    offered = servers * load
    term = total = 1.0
    for number in range(1, servers):
        term *= offered / number
        total += term
    last = term * offered / servers / (1 - load)
    return last / (total + last) * SERVICE_S / (servers * (1 - load))


@pytest.mark.parametrize(
    ("servers", "load", "order"),
    [(1, 0.5, QueueOrder.FIRST_COME), (2, 0.7, QueueOrder.FIRST_FIT), (4, 0.8, QueueOrder.FIRST_COME)],
)
def test_the_mean_wait_is_that_of_mmc(servers: int, load: float, order: QueueOrder) -> None:
    expected = mmc_wait_s(servers, load)
    assert mean_wait_s(servers, load, Durations.EXPONENTIAL, order) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_is_that_of_md1(load: float) -> None:
    """Pollaczek and Khinchine: half of M/M/1's."""
    expected = SERVICE_S * load / (2 * (1 - load))
    found = mean_wait_s(1, load, Durations.FIXED, QueueOrder.FIRST_COME)
    assert found == pytest.approx(expected, rel=0.1)


def test_the_utilisation_is_the_load() -> None:
    found = queue(4, 0.8, Durations.EXPONENTIAL, 1, QueueOrder.FIRST_COME)
    assert found.utilisation == pytest.approx(0.8, rel=0.03)


def test_a_queue_that_is_offered_more_than_it_has_grows() -> None:
    found = queue(2, 1.3, Durations.FIXED, 1, QueueOrder.FIRST_COME)
    assert found.offered == pytest.approx(1.3, rel=0.1)
    assert found.utilisation == pytest.approx(1, abs=0.01)
    assert found.wait_p90_s == math.inf
