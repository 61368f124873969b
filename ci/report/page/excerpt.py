"""A long text opened at its error: what a reader needs first is shown, the rest is folded or cut."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ci.report.text import strip_ansi, visible

__all__ = ["Excerpt", "Segment", "excerpt", "tail_excerpt"]

# as pytest marks the error itself, and the line that raised it
_ERROR = re.compile(r"E(?:\s|$)")
_RAISED = re.compile(r">\s")
# lines that are shown before the error, and from it on
_BEFORE, _AFTER = 8, 32
# below this a text of one's own is not looked for in a log
_NEEDLE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Lines that follow each other, all of them the error's or none."""

    text: str
    error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """`shown` with what is folded `above` and `below` it; `cut` lines are left out of the page."""

    above: str = ""
    shown: tuple[Segment, ...] = ()
    below: str = ""
    cut: int = 0

    @property
    def lines_above(self) -> int:
        """How many lines are folded above."""
        return self.above.count("\n") + 1 if self.above else 0

    @property
    def lines_below(self) -> int:
        """How many lines are folded below."""
        return self.below.count("\n") + 1 if self.below else 0


def excerpt(text: str, *, room: int) -> Excerpt:
    """The text opened at its last error; `room` is in characters as they stand in the page."""
    lines = _lines(text)
    errors = [_ERROR.match(line) is not None for line in lines]
    at = _first_of_last(errors)
    if at is None:
        first, last = 0, len(lines)
        if last > _BEFORE + _AFTER:
            first = last - _AFTER
        at = max(first, last - 1)
    else:
        first, last = max(0, at - _BEFORE), min(len(lines), at + _AFTER)
    low, high = _fitting(lines, at, room)
    first, last = max(first, low), min(last, high)
    marks = [error or _RAISED.match(line) is not None for line, error in zip(lines, errors, strict=True)]
    return Excerpt(
        above="\n".join(lines[low:first]),
        shown=_segments(lines[first:last], marks[first:last]),
        below="\n".join(lines[last:high]),
        cut=len(lines) - (high - low),
    )


def tail_excerpt(lines: Sequence[str], *, about: Sequence[str], room: int) -> Excerpt:
    """The end of a log, with the lines marked that hold one of the texts in `about`."""
    found = _lines("\n".join(lines)) if lines else []
    low, _ = _fitting(found, len(found) - 1, room) if found else (0, 0)
    needles = [needle for text in about if len(needle := text.strip()) >= _NEEDLE]
    marks = [
        _ERROR.match(line) is not None or any(needle in line for needle in needles) for line in found[low:]
    ]
    return Excerpt(shown=_segments(found[low:], marks), cut=low)


def _lines(text: str) -> list[str]:
    return visible(strip_ansi(text)).strip("\n").split("\n")


def _first_of_last(errors: Sequence[bool]) -> int | None:
    """The first line of the last run of error lines, which is the error that was raised in the end."""
    at = next((number for number in range(len(errors) - 1, -1, -1) if errors[number]), None)
    while at and errors[at - 1]:
        at -= 1
    return at


def _fitting(lines: Sequence[str], at: int, room: int) -> tuple[int, int]:
    """The range around line `at` that fits: that line first, then what follows it, then what is above it."""
    sizes = [len(html.escape(line, quote=False)) + 1 for line in lines]
    low, high = at, at + 1
    room -= sizes[at]
    while high < len(lines) and room >= sizes[high]:
        room -= sizes[high]
        high += 1
    while low > 0 and room >= sizes[low - 1]:
        low -= 1
        room -= sizes[low]
    return low, high


def _segments(lines: Sequence[str], marks: Sequence[bool]) -> tuple[Segment, ...]:
    found: list[tuple[list[str], bool]] = []
    for line, mark in zip(lines, marks, strict=True):
        if found and found[-1][1] is mark:
            found[-1][0].append(line)
        else:
            found.append(([line], mark))
    return tuple(Segment(text="\n".join(text), error=mark) for text, mark in found)
