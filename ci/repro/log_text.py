"""Logs made plain: what GitHub, gh, act and terminals put around the lines of a job is taken off."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ci.errors import UsageError
from ci.report.text import strip_ansi

__all__ = ["LogLine", "clean", "decode_log"]

_TIME = re.compile(r"\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)(?: |$)")
# `gh run view --log`: job, step and line, with tabs between them; the line begins with its time
_GH = re.compile(r"(?P<job>[^\t]*)\t(?P<step>[^\t]*)\t(?P<rest>\ufeff?\d{4}-\d\d-\d\dT.*)", re.DOTALL)
# act: `[workflow/job] ` and, for what a step prints, a bar
_ACT = re.compile(r"\[(?P<job>[^\]]+)\]\s+(?:\| )?(?P<rest>.*)", re.DOTALL)
# what the runner turns `::group::`, `::error::` and the like into
_COMMAND = re.compile(r"##\[[a-z]+\]")
# the time that our own views put before a line, and the bar that they put into groups
_OURS = re.compile(r"(?:\d\d:\d\d:\d\d |\| )")

_ARCHIVES = {b"PK\x03\x04": "zip archive", b"\x1f\x8b": "gzip file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line as the program printed it, with its number in the log and, where the log says so, its job and step."""

    number: int
    job: str
    step: str
    text: str


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
                then="unpack it and name the log of the job that failed",
            )
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data.decode(encoding, errors="replace")


def clean(text: str) -> Iterator[LogLine]:
    """The lines of a log without what was put around them."""
    for number, raw in enumerate(re.split(r"\r?\n", text), start=1):
        job, step, line = "", "", strip_ansi(raw).removeprefix("\ufeff")
        if found := _GH.match(line):
            job, step, line = found["job"], found["step"], found["rest"]
        elif found := _ACT.match(line):
            job, line = found["job"], found["rest"]
        line = _TIME.sub("", line, count=1) if _TIME.match(line) else line
        line = _COMMAND.sub("", line, count=1) if _COMMAND.match(line) else line
        line = _OURS.sub("", line, count=1) if _OURS.match(line) else line
        yield LogLine(number=number, job=job, step=step, text=line.rstrip("\r"))
