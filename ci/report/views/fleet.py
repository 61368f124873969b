"""A simulated fleet in the terminal."""

from collections.abc import Mapping

from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.search import Found, Goal
from ci.report.console import Console, Table, Text, new_table
from ci.report.fleet import found_words, warnings
from ci.report.fleet_tables import FleetTable, fleet_tables, found_table
from ci.report.text import one_line

__all__ = ["show_fleet", "show_found"]


def show_fleet(console: Console, results: Mapping[str, FleetResult]) -> None:
    """The first fleet in detail, then a row for each."""
    for table in fleet_tables(results):
        console.print(_table(table))
    for line in warnings(next(iter(results.values()))):
        console.print(Text(line, style="yellow"))


def show_found(console: Console, found: Found, goal: Goal) -> None:
    """The steps of a search and what it found."""
    console.print(_table(found_table(found)))
    console.print(Text(found_words(found, goal), style="green" if found.met else "yellow"))


def _table(table: FleetTable) -> Table:
    shown = new_table(title=table.title)
    for place, name in enumerate(table.head):
        shown.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(one_line, row))
    return shown
