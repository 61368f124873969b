"""What all reports say about a simulated fleet."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.search import Found, Goal
from ci.report.text import duration

__all__ = [
    "fleet_data",
    "found_data",
    "found_words",
    "time_words",
    "warnings",
]


def time_words(seconds: float) -> str:
    """A time to green or red; `never` where too many are unfinished, `-` without any."""
    if math.isnan(seconds):
        return "-"
    return "never" if math.isinf(seconds) else duration(seconds)


def warnings(result: FleetResult) -> Sequence[str]:
    """Pools that cannot keep up, and pools that mostly pull."""
    found = []
    for pool in result.pools:
        if pool.offered > 1:
            what = f"is offered {pool.offered:.0%} of what it has: its queue grows, and times depend on the days that are simulated"
            found.append(f"pool {pool.id} {what}")
        elif pool.waiting:
            what = f"cannot keep up: {pool.waiting} jobs still waited a day after the last event"
            found.append(f"pool {pool.id} {what}")
        if pool.set_up_gpu_h > pool.gpu_h / 2:
            share = f"{pool.set_up_gpu_h / pool.gpu_h:.0%}"
            found.append(
                f"pool {pool.id} spends {share} of its GPU hours before the first test: pulls from one registry slow each other"
            )
    return found


def fleet_data(results: Mapping[str, FleetResult], notes: Sequence[str]) -> dict[str, Any]:
    """The same for `--json`; times that are infinite or unknown are null."""
    return {
        "fleets": {
            name: {
                "gpu_h_a_day": result.gpu_h_a_day,
                "jobs": result.jobs,
                "pools": [_finite(asdict(pool)) for pool in result.pools],
                "events": [
                    _finite({key: value for key, value in asdict(row).items() if key != "green_s"})
                    for row in result.traffic
                ],
                "critical_s": dict(result.critical_s),
                "warnings": list(warnings(result)),
            }
            for name, result in results.items()
        },
        "notes": list(notes),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def found_words(found: Found, goal: Goal) -> str:
    """Whether the goal is met, in a sentence."""
    wanted = f"green p90 of {duration(goal.green_p90_s)}"
    if math.isfinite(goal.gpu_h_a_day):
        wanted += f" within {goal.gpu_h_a_day:.0f} GPU hours a day"
    met = "is met" if found.met else "is not met"
    words = f"{wanted} {met}; {found.simulations} fleets were simulated"
    if not found.met and found.critical_s:
        suite, seconds = max(found.critical_s.items(), key=lambda each: (each[1], each[0]))
        words += f"; {suite} holds a change up for longest, {duration(seconds)} alone: nox -s shards shows what blocks it"
    return words


def found_data(found: Found) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "met": found.met,
        "simulations": found.simulations,
        "shards": dict(found.fleet.shards),
        "routing": dict(found.fleet.routing),
        "steps": [_finite(asdict(step)) for step in found.steps],
    }
