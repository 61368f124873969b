"""A simulated fleet in the terminal."""

from collections.abc import Mapping

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.search import Found, Goal
from ci.report.console import Console, Text, new_table
from ci.report.fleet import VARIANT_COLUMNS, found_words, time_words, variant_cells, warnings
from ci.report.text import one_line

__all__ = ["show_fleet", "show_found"]


def show_fleet(console: Console, results: Mapping[str, FleetResult]) -> None:
    """Pools and events of the first result, then a row for each."""
    first = next(iter(results.values()))
    pools = new_table(title="Pools")
    pools.add_column("pool", overflow="fold")
    for name in ("GPUs", "jobs", "wait p50", "wait p90", "busy", "offered", "GPU h", "in set-up", "lost"):
        pools.add_column(name, justify="right")
    for pool in first.pools:
        pools.add_row(
            pool.id,
            str(pool.gpus),
            str(pool.jobs),
            time_words(pool.wait_p50_s),
            time_words(pool.wait_p90_s),
            f"{pool.utilisation:.0%}",
            f"{pool.offered:.0%}",
            f"{pool.gpu_h:.0f}",
            f"{pool.set_up_gpu_h:.0f}",
            f"{pool.lost_gpu_h:.0f}",
        )
    console.print(pools)
    events = new_table(title="Events")
    events.add_column("events", overflow="fold")
    for name in (
        "number",
        "no job",
        "green",
        "red",
        "unlucky",
        "unfinished",
        "green p50",
        "green p90",
        "red p50",
    ):
        events.add_column(name, justify="right")
    for row in first.traffic:
        numbers = (row.events, row.idle, row.green, row.red, row.unlucky, row.unfinished)
        times = (row.green_p50_s, row.green_p90_s, row.red_p50_s)
        events.add_row(row.id, *map(str, numbers), *map(time_words, times))
    console.print(events)
    if len(results) > 1:
        table = new_table(title=f"What each rule costs: {first.main.id}")
        table.add_column("fleet", overflow="fold")
        for name in VARIANT_COLUMNS:
            table.add_column(name, justify="right")
        for name, result in results.items():
            table.add_row(one_line(name), *variant_cells(result))
        console.print(table)
    for line in warnings(first):
        console.print(Text(line, style="yellow"))


def show_found(console: Console, found: Found, goal: Goal) -> None:
    """The steps of a search and what it found."""
    table = new_table(title="Shards and routing")
    table.add_column("change", overflow="fold")
    table.add_column("green p90", justify="right")
    table.add_column("GPU h/day", justify="right")
    for step in found.steps:
        table.add_row(one_line(step.change), time_words(step.green_p90_s), f"{step.gpu_h_a_day:.0f}")
    console.print(table)
    console.print(Text(found_words(found, goal), style="green" if found.met else "yellow"))
