"""The one door to rich: consoles, tables and live views of every report go through here.

No console reads markup or highlights anything: a string is printed as it is.
"""

import io
import json as json_module
import sys
from collections.abc import Mapping
from typing import TextIO

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Column, Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from ci.system.inert import inert_json

__all__ = [
    "Console",
    "ConsoleOptions",
    "Group",
    "Live",
    "Padding",
    "ProgressBar",
    "RenderResult",
    "RenderableType",
    "Rule",
    "Table",
    "TerminalTheme",
    "Text",
    "confirmed",
    "fact_table",
    "new_table",
    "open_console",
    "plain_console",
    "print_json",
    "recording_console",
    "say",
]

# Columns of everything that is not a terminal: Actions, pipes and files have no width of their own.
_PLAIN_WIDTH = 120


def open_console(
    environ: Mapping[str, str],
    *,
    json: bool = False,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> Console:
    """The console for people: standard output, or standard error when standard output is for machines (`json`).

    On a terminal, colours are on unless `NO_COLOR` is set and the width is the terminal's. Anywhere else there
    are no colours and 120 columns. Characters that the stream's encoding lacks are spelled out, never an error.
    """
    stream = (stderr or sys.stderr) if json else (stdout or sys.stdout)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    if not stream.isatty():
        return plain_console(stream)
    return Console(file=stream, markup=False, highlight=False, emoji=False, _environ=environ)


def plain_console(stream: TextIO, *, width: int = _PLAIN_WIDTH) -> Console:
    """A console without colours and with a fixed width."""
    return Console(
        file=stream,
        width=width,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
        _environ={},
    )


def recording_console(*, width: int) -> Console:
    """A console that shows nothing and keeps what it was given, with all colours, for an export."""
    return Console(
        file=io.StringIO(),
        record=True,
        width=width,
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
        _environ={},
    )


def say(line: str) -> None:
    """A line of progress on standard error: for people, also when standard output is for machines."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def confirmed(question: str) -> bool:
    """Whether a person at a terminal answers yes; false when nobody is there to be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_json(value: object, *, sort_keys: bool = False) -> None:
    """A result for machines on standard output."""
    sys.stdout.write(inert_json(json_module.dumps(value, indent=1, sort_keys=sort_keys)) + "\n")


def new_table(*columns: str, title: str = "", headed: bool = True) -> Table:
    """A table in the house's look, whose columns wrap: one rule under the head, no frame."""
    return Table(
        *(Column(name, overflow="fold") for name in columns),
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD if headed else None,
        show_header=headed,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def fact_table(facts: Mapping[str, str]) -> Table:
    """Names and values side by side; facts without a value are left out."""
    table = new_table(headed=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table
