"""The end of a run as it is printed: on a terminal of some size, or in a log (0)."""

import io

from ci.record.model import RunRecord
from ci.report.console import plain_console
from ci.report.final.terminal import Screen, end_lines

__all__ = ["shown_end"]


def shown_end(record: RunRecord, *, width: int = 0, height: int = 0) -> str:
    stream = io.StringIO()
    console = plain_console(stream)
    for line in end_lines(record, Screen(width=width, height=height)):
        console.print(line, soft_wrap=True)
    return stream.getvalue()
