"""The final view as a picture of a terminal, for a README or a comment."""

from ci.record.model import RunRecord
from ci.report.console import TerminalTheme, Text, recording_console
from ci.report.final.terminal import Screen, end_lines
from ci.report.live.start import start_lines
from ci.report.live.terminal import folded
from ci.report.model import result
from ci.report.repeat import repeat
from ci.report.text import one_line

__all__ = ["picture"]

_WIDTH, _HEIGHT = 110, 60

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


def picture(record: RunRecord) -> str:
    """How the run began and ended, as one SVG without anything from outside; the same record gives the same bytes."""
    console = recording_console(width=_WIDTH)
    for line in start_lines(record.start):
        for part in folded(line, _WIDTH):
            console.print(part)
    console.print("...")
    for text in end_lines(record, Screen(width=_WIDTH, height=_HEIGHT)):
        console.print(text)
    command = one_line(repeat(record))
    if not result(record).ok and command:
        console.print(Text.assemble(("repeat it: ", "dim"), (command, "bold"), overflow="fold"))
    title = record.start.command or record.title
    return console.export_svg(title=one_line(title), theme=_THEME, code_format=_FRAME, unique_id="run")
