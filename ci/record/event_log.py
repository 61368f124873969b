"""The record on disk: one JSON object a line, appended by one process, readable at every moment of a run."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from ci.errors import InfrastructureError, UsageError, disk_cause
from ci.record.event_json import glimpse, json_of, parse_line
from ci.record.events import SCHEMA, Damaged, Event, RunStarted

__all__ = ["RecordWriter", "line_of", "read_events"]


def line_of(event: Event) -> bytes:
    """One event as a line of strict JSON in ASCII."""
    return json.dumps(json_of(event), separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


class RecordWriter:
    """Appends events to a file; what it holds is whole lines, whatever happens to the disk."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending and create it when it is missing.

        Raises:
            InfrastructureError: the file cannot be opened.
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

    def append(self, event: Event) -> None:
        """Add one event.

        Raises:
            InfrastructureError: the disk did not take the whole line. The file then ends with the line before it.
        """
        line = line_of(event)
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

    def sync(self) -> None:
        """Have what was appended on the disk.

        Raises:
            InfrastructureError: the disk has failed.
        """
        try:
            os.fsync(self._fd)
        except OSError as error:
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
            # the reader names an unfinished line, and the first failure is the one that matters
            return

    def _failure(self, error: OSError) -> InfrastructureError:
        folder = self.path.parent
        try:
            free = f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB free"
        except OSError:
            free = "free space unknown"
        return InfrastructureError(
            f"cannot write the record {self.path}: {error.strerror} ({free} in {folder})",
            cause=disk_cause(error, otherwise="the folder is missing or not ours"),
            then=f"df -h {folder}; make room there, then start the run again",
        )


def read_events(path: Path) -> list[Event]:
    """The events of a record in order; a line that is not one becomes a `Damaged` that says so.

    Raises:
        UsageError: the file cannot be read, or is of another schema.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the record {path}: {error.strerror}",
            cause="not a run folder, or the run never started",
            then=f"ls -la {path.parent}",
        ) from error
    events = list(_events(data, path.name))
    for event in events:
        if isinstance(event, RunStarted) and event.schema != SCHEMA:
            raise UsageError(
                f"{path} is a record of schema {event.schema}; this version reads {SCHEMA}",
                cause="it was written by another version",
                then="run it again, or read the reports beside it",
            )
    return events


def _events(data: bytes, name: str) -> Iterator[Event]:
    *lines, rest = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            event, wrong = parse_line(line)
            yield event or Damaged(text=f"{name}: line {number} is not an event{wrong}: {glimpse(line)}")
    if not rest:
        return
    last, _ = parse_line(rest)
    if last is not None:
        yield last
    what = "the last line is unfinished, so the writer was stopped in it"
    yield Damaged(text=f"{name}: {what}: {glimpse(rest)}")
