"""The one door to rich: consoles, tables and live views of every report go through here.

No console reads markup or highlights anything: a string is printed as it is.
"""

import io
import json as json_module
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, ConsoleRenderable, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from ci.system.inert import inert_json

__all__ = [
    "Console",
    "ConsoleOptions",
    "Group",
    "LiveArea",
    "Padding",
    "RenderResult",
    "RenderableType",
    "Rule",
    "Table",
    "TerminalTheme",
    "Text",
    "cell_len",
    "confirmed",
    "fact_table",
    "fitted",
    "folded_text",
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
    are no colours and 120 columns. Characters that the stream's encoding lacks, or a terminal in a locale without UTF-8,
    are spelled out, never an error.
    """
    stream = (stderr or sys.stderr) if json else (stdout or sys.stdout)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
        if stream.isatty() and not _shows_unicode(environ):
            # Python writes UTF-8 in the C locale too, which such a terminal does not show
            stream.reconfigure(encoding="ascii")
    if not stream.isatty():
        return plain_console(stream)
    return Console(file=stream, markup=False, highlight=False, emoji=False, _environ=environ)


def _shows_unicode(environ: Mapping[str, str]) -> bool:
    """Whether the locale's characters are Unicode's; so it is where no locale is named."""
    named = next(filter(None, (environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))), "UTF-8")
    return "utf" in named.lower()


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


def fitted(text: str, width: int) -> str:
    """The text in at most `width` columns; what is cut off is marked by `...`."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 3)).rstrip() + "..."[: max(0, width)]


def folded_text(text: str, width: int) -> list[str]:
    """The text in lines of this width, broken at blanks where there are some."""
    console = plain_console(io.StringIO(), width=max(1, width))
    return [line.plain.rstrip() for line in Text(text).wrap(console, max(1, width), overflow="fold")]


class LiveArea(Live):
    """Lines at the bottom of a terminal that are drawn again and again; what is printed scrolls by above them.

    `draw` gives the lines, none wider than the terminal. A terminal that is made narrower breaks the lines that it shows:
    they are counted as it shows them, or parts of them would stay behind.
    """

    def __init__(
        self, console: Console, draw: Callable[[], Sequence[Text]], *, refresh_per_second: float
    ) -> None:
        self._draw = draw
        self._drawn: list[int] = []
        self._next: list[int] = []
        self._drawn_in = console.width
        super().__init__(
            console=console,
            get_renderable=self._lines,
            refresh_per_second=refresh_per_second,
            transient=True,
            vertical_overflow="crop",
        )

    def _lines(self) -> RenderableType:
        lines = list(self._draw())[: max(1, self.console.height - 1)]
        self._next = [cell_len(line.plain) for line in lines]
        return Group(*lines)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        with self._lock:
            width = self.console.width
            if width < self._drawn_in and self._drawn:
                rows = sum(max(1, -(-cells // width)) for cells in self._drawn)
                self._live_render._shape = (width, rows)  # noqa: SLF001 - rich itself does not follow a resize
            processed = super().process_renderables(renderables)
            self._drawn, self._drawn_in = self._next, width
            return processed


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
