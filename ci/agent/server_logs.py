"""The logs of the servers that the harness starts for one attempt: beside the attempt's own log, under the same name."""

import glob
from pathlib import Path

from .judge.tracebacks import ProcessEnd
from .logs import first_end_in, log_name

__all__ = ["ServerLogs"]

# of a server that hangs: enough for its threads
_TAIL_BYTES = 65536
_TAIL_LINES = 200


class ServerLogs:
    """Those that appear from here on are this attempt's."""

    def __init__(self, folder: Path, test: str) -> None:
        self._folder = folder
        self._stem = log_name(test, 1, ()).removesuffix(".log")
        self._older = set(self.all())

    def all(self) -> list[Path]:
        """Those of every attempt of the test."""
        return list(self._folder.glob(f"{glob.escape(self._stem)}.server-*.log"))

    def new(self) -> list[Path]:
        """Those of this attempt."""
        return [path for path in self.all() if path not in self._older]

    def first_end(self) -> ProcessEnd | None:
        """The process that ended first, by the newest of them."""
        return first_end_in(self.new())

    def tails(self) -> dict[str, str]:
        """Their last lines, by name."""
        return {path.name: "\n".join(_tail(path)) for path in self.new()}


def _tail(path: Path) -> list[str]:
    """The last lines of a file, the newest last."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return stream.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return []
