"""The tables that a simulated fleet is shown in, on a page and in the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ci.plan.fleet.model import FleetResult, PoolResult, TrafficResult
from ci.plan.fleet.search import Found
from ci.report.fleet import time_words

__all__ = ["FleetTable", "fleet_tables", "found_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTable:
    """Rows of cells, as many as names in `head`; the first of each says what the row is about."""

    id: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def fleet_tables(results: Mapping[str, FleetResult]) -> Iterator[FleetTable]:
    """Events and pools of the first fleet, then a row for each where there are more."""
    first = next(iter(results.values()))
    rows = [_event(row) for row in first.traffic]
    yield _table("events", "Events", rows)
    yield _table("pools", "Pools", [_pool(pool) for pool in first.pools])
    if len(results) > 1:
        fleets = [{"fleet": name, **_fleet(result)} for name, result in results.items()]
        yield _table("fleets", f"Fleets side by side: {first.main.id}", fleets)


def found_table(found: Found) -> FleetTable:
    """The steps of a search."""
    rows = [
        {
            "change": step.change,
            "green p90": time_words(step.green_p90_s),
            "GPU h/day": f"{step.gpu_h_a_day:.0f}",
        }
        for step in found.steps
    ]
    return _table("search", "Shards and routing", rows)


def _table(identity: str, title: str, rows: list[dict[str, str]]) -> FleetTable:
    return FleetTable(
        id=identity,
        title=title,
        head=tuple(rows[0]) if rows else (),
        rows=tuple(tuple(row.values()) for row in rows),
    )


def _event(row: TrafficResult) -> dict[str, str]:
    return {
        "events": row.id,
        "number": str(row.events),
        "no job": str(row.idle),
        "green": str(row.green),
        "red": str(row.red),
        "unlucky": str(row.unlucky),
        "unfinished": str(row.unfinished),
        "green p50": time_words(row.green_p50_s),
        "green p90": time_words(row.green_p90_s),
        "red p50": time_words(row.red_p50_s),
        "red p90": time_words(row.red_p90_s),
    }


def _pool(pool: PoolResult) -> dict[str, str]:
    return {
        "pool": pool.id,
        "GPUs": str(pool.gpus),
        "jobs": str(pool.jobs),
        "wait mean": time_words(pool.wait_mean_s),
        "wait p50": time_words(pool.wait_p50_s),
        "wait p90": time_words(pool.wait_p90_s),
        "busy": f"{pool.utilisation:.0%}",
        "offered": f"{pool.offered:.0%}",
        "GPU h": f"{pool.gpu_h:.0f}",
        "in set-up": f"{pool.set_up_gpu_h:.0f}",
        "lost": f"{pool.lost_gpu_h:.0f}",
    }


def _fleet(result: FleetResult) -> dict[str, str]:
    main, days = result.main, result.days
    return {
        "green p50": time_words(main.green_p50_s),
        "green p90": time_words(main.green_p90_s),
        "red p50": time_words(main.red_p50_s),
        "GPU h/day": f"{result.gpu_h_a_day:.0f}",
        "in set-up": f"{sum(pool.set_up_gpu_h for pool in result.pools) / days:.0f}",
        "lost": f"{sum(pool.lost_gpu_h for pool in result.pools) / days:.0f}",
        "longest p90 wait": time_words(max(pool.wait_p90_s for pool in result.pools)),
    }
