"""The last lines of an attempt's log."""

import os
from dataclasses import dataclass
from pathlib import Path

from ci.record.model import Attempt
from ci.report.text import strip_ansi

__all__ = ["LogTails", "Tail", "read_tail"]


# a log can be 17 MiB; its last lines are in its last 256 KiB
_TAIL_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a log; `note` says why there are no lines, or that there are more above them."""

    lines: tuple[str, ...]
    note: str = ""

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def read_tail(path: Path, *, lines: int, size_bytes: int = _TAIL_BYTES) -> Tail:
    """At most `lines` lines out of the last `size_bytes` of a file, bytes that are no UTF-8 replaced, no colours.

    Of a line that a progress bar wrote over again and again, what stood there last is kept.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - size_bytes))
            data = file.read(size_bytes)
    except OSError as error:
        return Tail(lines=(), note=f"cannot read the log: {error.strerror}")
    if not data:
        return Tail(lines=(), note="the log is empty")
    found = [
        _last_written(line) for line in strip_ansi(data.decode(errors="replace")).rstrip("\n").split("\n")
    ]
    cut = size > len(data) or len(found) > lines
    if size > len(data) and len(found) > 1:
        found = found[1:]  # the first one begins somewhere inside a line
    return Tail(lines=tuple(found[-lines:]), note="the log has more above" if cut else "")


def _last_written(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


class LogTails:
    """Log tails of one run folder, each read once."""

    def __init__(self, run_dir: Path, *, lines: int) -> None:
        self._folder = run_dir
        self._lines = lines
        self._read: dict[str, Tail] = {}

    def named(self, log: str) -> Tail:
        """The tail of a log by its name in the run folder."""
        if log not in self._read:
            path = (self._folder / log).resolve()
            if not log:
                tail = Tail(lines=(), note="the record names no log")
            elif not path.is_relative_to(self._folder.resolve()):
                tail = Tail(lines=(), note="the record names a log outside the run folder")
            else:
                tail = read_tail(path, lines=self._lines)
            self._read[log] = tail
        return self._read[log]

    def has(self, log: str) -> bool:
        """Whether the run folder has this log, so that a page beside it can link to it."""
        path = (self._folder / log).resolve()
        return bool(log) and path.is_relative_to(self._folder.resolve()) and path.is_file()

    def of(self, attempt: Attempt) -> Tail:
        """The tail of an attempt's log."""
        return self.named(attempt.start.log)
