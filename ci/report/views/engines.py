"""Showing what was made to run the real SGLang on a CPU."""

from collections.abc import Mapping, Sequence

from ci.engine.folders import Made
from ci.report.console import Text, new_table, open_console

__all__ = ["show_made", "show_removed"]

_MIB = 2**20


def show_made(environ: Mapping[str, str], found: Sequence[Made]) -> None:
    """One line each, and what all of it takes."""
    console = open_console(environ)
    table = new_table("folder", "MiB", "shared", "last used", "")
    for one in found:
        table.add_row(
            Text(str(one.folder)),
            Text(f"{one.size_bytes / _MIB:.0f}", justify="right"),
            Text(f"{one.shared_bytes / _MIB:.0f}", justify="right"),
            Text(f"{one.used:%Y-%m-%d %H:%M}"),
            Text("" if one.finished else "unfinished", style="yellow"),
        )
    if found:
        console.print(table)
    console.print(Text(_sum("made", found)))


def show_removed(environ: Mapping[str, str], removed: Sequence[Made]) -> None:
    """What is gone, and what that has not freed."""
    console = open_console(environ)
    for one in removed:
        console.print(Text(f"removed {one.folder}"))
    console.print(Text(_sum("removed", removed)))
    if any(one.shared_bytes for one in removed):
        console.print(Text("uv's cache keeps the shared files until: uv cache clean", style="dim"))


def _sum(what: str, made: Sequence[Made]) -> str:
    size, shared = sum(one.size_bytes for one in made), sum(one.shared_bytes for one in made)
    return (
        f"{len(made)} {what}: {size / _MIB:.0f} MiB,"
        f" {shared / _MIB:.0f} MiB of them shared with uv's cache or each other"
    )
