"""What was noted while a scenario ran, as shares, means and percentiles."""

import math
from collections.abc import Sequence
from typing import Protocol

from ci.plan.fleet.gpus import GpuPool
from ci.plan.fleet.model import HourRow, PoolResult, TrafficResult

__all__ = ["percentile", "pool_result", "traffic_result"]

_HOUR_S = 3600.0
_DAY_H = 24.0


class _PoolCounts(Protocol):
    waits_s: list[float]
    set_up_gpu_s: float
    lost_gpu_s: float
    offered_gpu_s: float
    jobs: int


class _TrafficCounts(Protocol):
    events: int
    idle: int
    unlucky: int
    unfinished_green: int
    unfinished_red: int
    green_s: list[float]
    red_s: list[float]


def percentile(ordered: Sequence[float], share: float, *, missing: int = 0) -> float:
    """The value that this share does not exceed; `missing` values are larger than all others. NaN without any."""
    count = len(ordered) + missing
    if not count:
        return math.nan
    at = max(0, math.ceil(share * count) - 1)
    return ordered[at] if at < len(ordered) else math.inf


def pool_result(pool: GpuPool, counts: _PoolCounts, *, days: float, hours: tuple[HourRow, ...]) -> PoolResult:
    """The figures of a pool, after its last hour was counted."""
    waits = sorted(counts.waits_s)
    has_s = pool.spec.all_gpus * days * _DAY_H * _HOUR_S
    lost = counts.jobs - len(waits)
    return PoolResult(
        id=pool.spec.id,
        gpus=pool.spec.all_gpus,
        jobs=counts.jobs,
        wait_mean_s=math.fsum(waits) / len(waits) if waits else 0.0,
        wait_p50_s=percentile(waits, 0.5, missing=lost) if counts.jobs else 0.0,
        wait_p90_s=percentile(waits, 0.9, missing=lost) if counts.jobs else 0.0,
        gpu_h=pool.busy_gpu_s / _HOUR_S,
        set_up_gpu_h=counts.set_up_gpu_s / _HOUR_S,
        lost_gpu_h=counts.lost_gpu_s / _HOUR_S,
        utilisation=pool.busy_gpu_s / has_s,
        offered=counts.offered_gpu_s / has_s,
        waiting=pool.waiting,
        hours=hours,
    )


def traffic_result(name: str, counts: _TrafficCounts) -> TrafficResult:
    """The figures of the events of one kind."""
    green, red = sorted(counts.green_s), sorted(counts.red_s)
    return TrafficResult(
        id=name,
        events=counts.events,
        idle=counts.idle,
        green=len(green),
        red=len(red),
        unlucky=counts.unlucky,
        unfinished=counts.unfinished_green + counts.unfinished_red,
        green_p50_s=percentile(green, 0.5, missing=counts.unfinished_green + counts.unlucky),
        green_p90_s=percentile(green, 0.9, missing=counts.unfinished_green + counts.unlucky),
        red_p50_s=percentile(red, 0.5, missing=counts.unfinished_red),
        red_p90_s=percentile(red, 0.9, missing=counts.unfinished_red),
        green_s=tuple(green),
    )
