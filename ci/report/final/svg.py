"""A run as a picture of a terminal, for a README or a comment."""

from collections.abc import Iterable, Iterator

from ci.catalog.limits import ReportLimits
from ci.record.events import Event, RunStarted
from ci.record.model import RunRecord
from ci.report.console import TerminalTheme, Text, recording_console
from ci.report.final.terminal import Screen, end_lines
from ci.report.live.log_lines import LogLines
from ci.report.live.progress import LiveRun
from ci.report.live.start import start_lines
from ci.report.live.terminal import SCROLLED, folded
from ci.report.log_tail import LogTails
from ci.report.model import result
from ci.report.repeat import repeat
from ci.report.text import one_line

__all__ = ["picture"]

_WIDTH, _HEIGHT = 110, 40
# of what scrolled by
_SCROLLED_LINES = 14

_THEME = TerminalTheme(
    (22, 24, 29),
    (220, 223, 228),
    [
        (22, 24, 29), (240, 113, 120), (126, 198, 153), (229, 192, 123),
        (97, 175, 239), (198, 120, 221), (86, 182, 194), (220, 223, 228),
    ],
    [
        (110, 118, 129), (255, 139, 146), (152, 224, 176), (245, 213, 150),
        (130, 195, 250), (215, 150, 235), (115, 205, 215), (255, 255, 255),
    ],
)  # fmt: skip

# rich's own frame loads a font over the network; a picture has to be one file.
_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture(record: RunRecord, events: Iterable[Event] = (), *, tails: LogTails, limits: ReportLimits) -> str:
    """What a terminal of 110 columns shows of a run: its start, the last of what scrolled by, its end.

    One SVG without anything from outside; the same record gives the same bytes.
    """
    console = recording_console(width=_WIDTH)
    start = [text for line in start_lines(record.start) for text in folded(line, _WIDTH)]
    scrolled = list(_scrolled(events, tails, limits))
    cut = [Text("...", style="dim")] if len(scrolled) > _SCROLLED_LINES or not scrolled else []
    end = end_lines(record, Screen(width=_WIDTH, height=_HEIGHT))
    for text in (*start, *cut, *scrolled[-_SCROLLED_LINES:], *end):
        console.print(text)
    command = one_line(repeat(record))
    if not result(record).ok and command:
        console.print(Text.assemble(("repeat it: ", "dim"), (command, "bold"), overflow="fold"))
    title = record.start.command or record.title
    return console.export_svg(title=one_line(title), theme=_THEME, code_format=_FRAME, unique_id="run")


def _scrolled(events: Iterable[Event], tails: LogTails, limits: ReportLimits) -> Iterator[Text]:
    live = LiveRun(lambda: 0.0)
    lines = LogLines(live, limits=limits, clock=lambda: 0.0, tails=tails, details=True)
    for event in events:
        live.take(event)
        shown = list(lines.lines(event))
        if isinstance(event, SCROLLED) and not isinstance(event, RunStarted):
            for line in shown:
                yield from folded(line, _WIDTH)
