"""The record on disk: one JSON object a line, appended by one process, readable at every moment of a run."""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

from ci.errors import InfrastructureError, UsageError

__all__ = ["DAMAGED", "Event", "RecordWriter", "encode_event", "read_events"]

Event = Mapping[str, Any]

# The type of the event that `read_events` puts where a line can't be read: {"type", "by": "reader", "text"}.
DAMAGED = "record-damaged"

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the user's disk quota is used up",
    errno.EFBIG: "the file has reached the limit for one file (`ulimit -f`)",
    errno.EIO: "the disk or the network file system failed",
}


def encode_event(event: Event) -> bytes:
    """One event as a line of strict JSON in ASCII; a number that JSON does not know is written as text."""
    try:
        text = json.dumps(event, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(event), separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    """The same value with nan and the infinities as strings, so that every JSON reader takes the line."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


class RecordWriter:
    """Appends events to a file; what it holds is whole lines, whatever happens to the disk."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending and create it when it is missing.

        Raises:
            InfrastructureError: the file can't be opened.
        """
        self.path = path
        self._lock = Lock()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._fd).st_size
            # an unfinished line of an earlier writer must not swallow our first one
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")
        except OSError as error:
            raise self._failure(error) from error

    def append(self, event: Event, *, by: Literal["agent", "ci"]) -> None:
        """Add one event and nothing to it but `by`.

        Raises:
            InfrastructureError: the disk did not take the whole line. The file then ends with the line before it.
        """
        line = encode_event({**event, "by": by})
        with self._lock:
            size = None
            try:
                size = os.fstat(self._fd).st_size
                # a disk that fills up takes a part of the line first and says so at the next write
                while line:
                    line = line[os.write(self._fd, line) :]
            except OSError as error:
                if size is not None:
                    self._truncate(size)
                raise self._failure(error) from error

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        with self._lock:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            # the reader names an unfinished line, and the first failure is the one worth telling
            return

    def _failure(self, error: OSError) -> InfrastructureError:
        folder = self.path.parent
        try:
            free = f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB free"
        except OSError:
            free = "free space unknown"
        return InfrastructureError(
            f"the record {self.path} can't be written: {error.strerror} ({free} in {folder})",
            cause=_CAUSES.get(error.errno or 0, "the folder is missing, read-only or not ours"),
            then=f"df -h {folder}; make room there, then start the run again",
        )


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a record in order; a line that is no event becomes one of type `record-damaged` that says so.

    Raises:
        UsageError: the file can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the record {path} can't be read: {error.strerror}",
            cause="not a run folder, or the run never started",
            then=f"ls -la {path.parent}",
        ) from error
    return list(_events(data, path.name))


def _events(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    *lines, rest = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        event = _parse(line)
        yield (
            event
            if event is not None
            else _damaged(f"{name}: line {number} is not an event: {_glimpse(line)}")
        )
    if not rest:
        return
    last = _parse(rest)
    if last is not None:
        yield last
    yield _damaged(f"{name}: the last line is unfinished, so the writer was stopped in it: {_glimpse(rest)}")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def _damaged(text: str) -> dict[str, Any]:
    return {"type": DAMAGED, "by": "reader", "text": text}


def _glimpse(line: bytes) -> str:
    return ascii(line[:60].decode(errors="replace")) + (" ..." if len(line) > 60 else "")
