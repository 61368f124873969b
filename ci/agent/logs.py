"""The output of an attempt: its log file, its newest lines."""

import os
import re
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from .judge.tracebacks import ProcessEnd, ProcessEnds

__all__ = ["LogFile", "RecentLines", "first_end_in", "log_name", "new_log"]

_READ_BYTES = 65536


class LogFile:
    """The log of an attempt: the first `head_bytes` and the last `tail_bytes` of the output.

    A log that cannot be written does not end the test: `error` has the reason, and the newest output stays readable.
    """

    def __init__(self, path: Path, *, head_bytes: int, tail_bytes: int) -> None:
        self.error: str | None = None
        self.total_bytes = 0
        self.kept_bytes = 0  # of the output, on the disk
        self._path = path
        self._head_room = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[bytes] = deque()
        self._tail_held = 0
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            owner = path.parent.stat()
            if owner.st_uid != os.geteuid():  # in a container we are root, and the folder is the user's
                os.fchown(self._descriptor, owner.st_uid, owner.st_gid)
        except OSError as error:
            self._fail(error)

    def write(self, data: bytes) -> None:
        """Take the next piece of the output."""
        self.total_bytes += len(data)
        head = self._to_disk(data[: self._head_room])
        self.kept_bytes += head
        self._head_room -= head
        rest = data[head:]
        if rest:
            self._tail.append(rest)
            self._tail_held += len(rest)
            while self._tail and self._tail_held - len(self._tail[0]) >= self._tail_bytes:
                self._tail_held -= len(self._tail.popleft())

    def close(self) -> None:
        """Write the tail, after a line that counts what was left out."""
        tail = self._newest()
        left_out = self.total_bytes - self.kept_bytes - len(tail)
        if left_out and self.error is None:
            self._to_disk(f"\n[... {left_out} bytes of output left out here ...]\n".encode())
        self.kept_bytes += self._to_disk(tail)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def text(self) -> str:
        """What is left of the output, invalid UTF-8 replaced; call it after `close`."""
        try:
            data = self._path.read_bytes() if self.kept_bytes or self.error is None else b""
        except OSError as error:
            data = b""
            self._fail(error)
        return (data if self.error is None else data + b"\n" + self._newest()).decode("utf-8", "replace")

    def _newest(self) -> bytes:
        return b"".join(self._tail)[-self._tail_bytes :] if self._tail_bytes else b""

    def _to_disk(self, data: bytes) -> int:
        """Write as much as the disk takes; the number of bytes."""
        written = 0
        try:
            while self.error is None and written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._fail(error)
        return written

    def _fail(self, error: OSError) -> None:
        self.error = f"the log could not be written: {error}"


class RecentLines:
    """The newest lines of a stream for the live view; a carriage return ends a line, as in progress bars."""

    def __init__(self, *, lines: int, line_chars: int) -> None:
        self._lines = lines
        self._line_chars = line_chars
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece; only the end of a flood is kept."""
        self._buffer = (self._buffer + data)[-self._lines * self._line_chars :]

    def take(self, *, all_of_it: bool = False) -> list[str]:
        """The complete lines since the last call, the newest; at the end of the stream `all_of_it`."""
        *complete, rest = re.split(rb"[\r\n]+", self._buffer)
        self._buffer = b"" if all_of_it else rest
        newest = [line for line in [*complete, rest if all_of_it else b""] if line][-self._lines :]
        return [line.decode("utf-8", "replace")[: self._line_chars] for line in newest]


def log_name(test: str, attempt: int, taken: Collection[str]) -> str:
    """A file name for the log of this attempt that no other attempt has."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", test).strip("._")[-150:] or "test"
    suffix = f".attempt-{attempt}.log" if attempt > 1 else ".log"
    name, count = stem + suffix, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}{suffix}"
    return name


def new_log(folder: Path, test: str, attempt: int, taken: set[str]) -> str:
    """The name of an empty log for this attempt, which no agent has used; `taken` gets it."""
    with suppress(OSError):  # the log itself says why it cannot be written
        folder.mkdir(parents=True, exist_ok=True)
    while True:
        name = log_name(test, attempt, taken)
        taken.add(name)
        try:
            os.close(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            continue
        except OSError:
            pass
        return name


def first_end_in(logs: Sequence[Path]) -> ProcessEnd | None:
    """The first process that ended by the newest of these logs; None where it cannot be read."""
    ends = ProcessEnds()
    try:
        newest = max(logs, key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest is None:
            return None
        with newest.open("rb") as stream:
            while data := stream.read(_READ_BYTES):
                ends.feed(data)
    except OSError:
        return None
    ends.close()
    return ends.first()
