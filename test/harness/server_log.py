"""What a server's log says of its end."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

__all__ = ["fatal_traceback", "tail"]

_BEGIN = "Traceback (most recent call last):"
# who prints the traceback: a process that it ends ("Scheduler hit an exception: Traceback ...", "Process X:"), or a program
_ENDED = re.compile(r"\w+ hit an exception: $")
_CHILD = re.compile(r"Process \S+:$")
_PROGRAM = re.compile(r'  File "(?:.*", line \d+, in <module>|<frozen runpy>")')
_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
# frames of a traceback that are shown: fits a terminal
_LINES = 40


def tail(log: Path, lines: int) -> str:
    """The last lines of a log."""
    with log.open(encoding="utf-8", errors="replace") as text:
        return "".join(deque(text, maxlen=lines)).rstrip()


def fatal_traceback(log: Path) -> str:
    """The traceback of the first process that an exception ended, its last lines; empty when there is none.

    One that was caught and only printed is passed over. Where errors are chained it is the last of them.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    fatal = False
    for number, line in enumerate(lines):
        if not line.endswith(_BEGIN):
            continue
        before = [earlier for earlier in lines[max(0, number - 3) : number] if earlier.strip()][-1:]
        chained = bool(before) and before[0] in _CHAINED
        following = lines[number + 1] if number + 1 < len(lines) else ""
        fatal = (
            (fatal and chained)
            or bool(_ENDED.search(line[: -len(_BEGIN)]))
            or bool(before and _CHILD.match(before[0]))
            or bool(_PROGRAM.match(following))
        )
        end = _end_of(lines, number + 1)
        goes_on = any(after in _CHAINED for after in lines[end + 1 : end + 4])
        if fatal and not goes_on:
            block = lines[number : end + 1]
            return "\n".join(block if len(block) <= _LINES else [block[0], "  ...", *block[-_LINES:]])
    return ""


def _end_of(lines: list[str], start: int) -> int:
    """The number of the line that names the exception: the first that is not indented."""
    return next((number for number in range(start, len(lines)) if lines[number][:1].strip()), len(lines) - 1)
