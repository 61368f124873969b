"""Logs made plain: what GitHub, gh, act and terminals put around the lines of a job is taken off."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ci.errors import UsageError
from ci.report.text import strip_ansi

__all__ = ["LogLine", "clean", "day_of", "decode_log"]

_TIME = re.compile(r"\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)(?: |$)")
_DAY = re.compile(r"(?:^|\t)\ufeff?(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d", re.MULTILINE)
# `gh run view --log`: job, step and line, with tabs between them; the line begins with its time
_GH = re.compile(r"(?P<job>[^\t]*)\t(?P<step>[^\t]*)\t(?P<rest>\ufeff?\d{4}-\d\d-\d\dT.*)", re.DOTALL)
# act: `[workflow/job] ` and, for what a step prints, a bar; not a logger's `[2026-06-02 10:00:00 TP0] `
_ACT = re.compile(r"\[(?P<job>(?!\d{4}-)[^\]/]+/[^\]]+)\]\s+(?:\| )?(?P<rest>.*)", re.DOTALL)
# what the runner turns `::group::`, `::error::` and the like into, and what it began as
_COMMAND = re.compile(
    r"##\[(?P<mark>[a-z]+)\]|::(?P<plain>group|endgroup|error|warning|notice|debug)(?: [^:]*)?::"
)
# the time that our own views put before a line, and the bar that they put into groups
_OURS = re.compile(r"(?:\d\d:\d\d:\d\d |\| )")

# what Actions puts before each line of a step's script
_BLUE = "[36;1m"

_ARCHIVES = {b"PK\x03\x04": "zip archive", b"\x1f\x8b": "gzip file"}


class LogLine(NamedTuple):
    """A line as the program printed it, with its number in the log and, where the log says so, its job and step.

    `mark` is the runner's command that stood before the text, e.g. `group`, `endgroup` or `error`; empty for most lines.
    A tuple, for a log has half a million of them.
    """

    number: int
    job: str
    step: str
    text: str
    mark: str = ""


def decode_log(data: bytes, *, where: str) -> str:
    """The bytes as text; what is not UTF-8 is replaced, for a log may hold anything.

    Raises:
        UsageError: it is an archive.
    """
    for magic, kind in _ARCHIVES.items():
        if data.startswith(magic):
            raise UsageError(
                f"{where} is a {kind}, not a log",
                cause="the logs of a whole run come packed",
                then=f"./inv triage {where} shows what failed in it; or unpack it and name the log of one job",
            )
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data.decode(encoding, errors="replace")


def day_of(text: str) -> str:
    """The day on which a log began, `2026-08-20`; empty when its lines have no times."""
    found = _DAY.search(text[:20_000])
    return found[1] if found is not None else ""


def clean(text: str) -> Iterator[LogLine]:
    """The lines of a log without what was put around them."""
    for number, raw in enumerate(text.split("\n"), start=1):
        job, step, mark, line = "", "", "", raw
        if "\x1b" in line:
            line = strip_ansi(line)
        if line[:1] == "\ufeff":
            line = line[1:]
        # most lines have the time and nothing else: no pattern is tried that cannot match
        if "\t" in line and (found := _GH.match(line)):
            job, step, line = found["job"], found["step"], found["rest"]
        elif line[:1] == "[" and (found := _ACT.match(line)):
            job, line = found["job"], found["rest"]
        if line[:1] == "\ufeff":  # behind what gh puts in front
            line = line[1:]
        if line[4:5] == "-" and (stamp := _TIME.match(line)):
            line = line[stamp.end() :]
        if line[:6] == _BLUE:  # a script's line that was copied without the escapes of its colour
            line = line[6:].removesuffix("[0m")
        if line[:2] in ("##", "::") and (found := _COMMAND.match(line)):
            mark = found["mark"] or found["plain"]
            line = line[found.end() :]
        if (line[2:3] == ":" or line[:1] == "|") and (found := _OURS.match(line)):
            line = line[found.end() :]
        yield LogLine(number, job, step, line[:-1] if line[-1:] == "\r" else line, mark)
