"""What is simulated and what comes out: values alone, times in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ci.catalog.change_rules import Selects
from ci.catalog.fleet import Failure, QueueOrder

__all__ = [
    "Change",
    "Durations",
    "FleetResult",
    "HourRow",
    "JobSpec",
    "Policy",
    "PoolResult",
    "PoolSpec",
    "Scenario",
    "Traffic",
    "TrafficResult",
]


class Durations(StrEnum):
    """How the seconds of a job's tests are distributed about their mean or median."""

    # the median is the job's, the spread that of the policy
    LOGNORMAL = "lognormal"
    # for comparison with the theory of queues
    EXPONENTIAL = "exponential"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A pool of equal machines, and the set-up of a job on one of them."""

    id: str
    machines: int
    gpus: int
    pull_s: float = 0.0
    pull_each_s: float = 0.0
    registries: int = 1
    set_up_s: float = 0.0
    spread: float = 0.0

    @property
    def all_gpus(self) -> int:
        """GPUs of all machines."""
        return self.machines * self.gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One shard of a suite: its GPUs, the seconds of its tests, and the limit at which they end.

    `wave` counts from 0; `usual`: a change of the package selects it.
    """

    suite: str
    pool: str
    gpus: int
    work_s: float
    timeout_s: float
    wave: int = 0
    usual: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A kind of change and its share."""

    selects: Selects
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Events of one kind, with the jobs that each starts; `by_hour` are weights."""

    id: str
    per_day: float
    by_hour: tuple[float, ...]
    jobs: tuple[JobSpec, ...]
    changes: tuple[Change, ...]
    gates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How jobs are queued, ended and repeated, and how long their tests take."""

    queue: QueueOrder = QueueOrder.FIRST_COME
    fail_fast: bool = False
    reruns: int = 0
    rerun_after_s: float = 0.0
    durations: Durations = Durations.LOGNORMAL
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fleet, what arrives, and how long is simulated; what arrives in the first `warm_up_days` is not counted."""

    pools: tuple[PoolSpec, ...]
    traffic: tuple[Traffic, ...]
    failures: Mapping[Failure, float]
    policy: Policy
    days: float
    warm_up_days: float
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HourRow:
    """The means of one hour of the day, over all days that are counted: GPUs that are busy, jobs that wait."""

    busy_gpus: float
    waiting_jobs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolResult:
    """What a pool did. `offered` is what its jobs asked for, divided by what it has: above 1 the queue only grows.

    `set_up_gpu_h` of `gpu_h` were set-up, `lost_gpu_h` of jobs that failed by chance or were ended before they did.
    `waiting` is how many jobs still waited when the simulation ended.
    """

    id: str
    gpus: int
    jobs: int
    wait_mean_s: float
    wait_p50_s: float
    wait_p90_s: float
    gpu_h: float
    set_up_gpu_h: float
    lost_gpu_h: float
    utilisation: float
    offered: float
    waiting: int
    hours: tuple[HourRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficResult:
    """What became of the events of one kind; a time is infinite where too many are `unfinished`.

    `idle` events started no job and count for no time. `green` counts from arrival to the last job of those without a fault of
    their own, `red` to the first failure of the others. `unlucky` failed by chance more often than is tried again.
    """

    id: str
    events: int
    idle: int
    green: int
    red: int
    unlucky: int
    unfinished: int
    green_p50_s: float
    green_p90_s: float
    red_p50_s: float
    red_p90_s: float
    green_s: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetResult:
    """What came out; `critical_s` is by suite how long it alone held up the jobs that wait for it, a mean over events."""

    pools: tuple[PoolResult, ...]
    traffic: tuple[TrafficResult, ...]
    jobs: int
    days: float
    critical_s: Mapping[str, float]

    @property
    def gpu_h_a_day(self) -> float:
        """GPU hours of all pools in a day."""
        return sum(pool.gpu_h for pool in self.pools) / self.days

    @property
    def main(self) -> TrafficResult:
        """The first kind of events: what is judged by its time to green."""
        return self.traffic[0]
