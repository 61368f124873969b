"""Showing this project's containers."""

from collections.abc import Mapping, Sequence

from ci.docker.sweep import Swept, Tenant
from ci.report.console import Text, new_table, open_console

__all__ = ["show_not_looked_at", "show_swept_containers", "show_tenants"]


def show_tenants(environ: Mapping[str, str], tenants: Sequence[Tenant]) -> None:
    """One line each: its owner, and whether its run is in progress."""
    console = open_console(environ)
    table = new_table("container", "run", "state", "its run", "kept")
    for one in tenants:
        owner = "ended" if one.ownership.owner_ended else "running, or unknown"
        kept = f"for {one.ownership.ttl_s} s from its start" if one.ownership.kept else ""
        table.add_row(one.name, one.ownership.run, one.status or one.state, owner, kept)
    if tenants:
        console.print(table)
    console.print(f"{len(tenants)} containers of this project")


def show_not_looked_at(environ: Mapping[str, str], why: str) -> None:
    """That containers of killed runs may exist."""
    open_console(environ).print(Text(f"containers not checked: {why}", style="yellow"))


def show_swept_containers(environ: Mapping[str, str], swept: Sequence[Swept]) -> None:
    """What was removed, and what could not be."""
    console = open_console(environ)
    for one in swept:
        console.print(f"{one.tenant.name} of run {one.tenant.ownership.run}: {one.problem or 'removed'}")
    console.print(f"{sum(not one.problem for one in swept)} containers were removed")
