"""Values kept in this user's cache by a key that says all of what they were made from.

A value is written whole or not at all, so readers and writers never wait for each other. What cannot be read or written is
made again: a cache never fails a command.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from ci.system.clock import new_token

__all__ = ["KeptValues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptValues:
    """A folder with a file for each key; of more than `most` the oldest are removed."""

    folder: Path
    most: int = 48

    def get(self, key: str) -> bytes | None:
        """The value, None where there is none."""
        try:
            return (self.folder / key).read_bytes()
        except OSError:
            return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        partial = self.folder / f".{key}.{new_token()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(value)
            partial.replace(self.folder / key)
            self._prune()
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()

    def _prune(self) -> None:
        with os.scandir(self.folder) as scan:
            files = sorted(scan, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
        for entry in files[self.most :]:
            Path(entry.path).unlink(missing_ok=True)
