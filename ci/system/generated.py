"""Files that are made from something else: writing them, and finding those that are stale."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.errors import Problem

__all__ = ["Stale", "stale_files", "write_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A file that is not what it is made from; `diff` is unified, from the file to what it has to be."""

    path: str
    what: str
    diff: str

    @property
    def problem(self) -> Problem:
        """The problem with its diff, indented below it."""
        lines = "".join(f"\n      {line}" for line in self.diff.splitlines())
        return Problem(where=self.path, what=self.what + lines)


def stale_files(files: Mapping[str, str], root: Path, *, what: str) -> tuple[Stale, ...]:
    """Every one of these files, text by path, that is missing in a checkout or differs; `what` says so of one that differs.

    A file that holds something else than text counts as edited.
    """
    stale = []
    for path, wanted in files.items():
        try:
            found = (root / path).read_bytes().decode(errors="backslashreplace")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            problem = "is missing" if missing else f"cannot be read: {error.strerror}"
            stale.append(Stale(path=path, what=problem, diff=""))
            continue
        if found != wanted:
            stale.append(Stale(path=path, what=what, diff=_diff(path, found, wanted)))
    return tuple(stale)


def write_files(files: Mapping[str, str], root: Path) -> tuple[str, ...]:
    """Write every file that differs; returns the paths of those."""
    written = []
    for path, text in files.items():
        file = root / path
        if file.is_file() and file.read_bytes() == text.encode():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        written.append(path)
    return tuple(written)


def _diff(path: str, found: str, wanted: str) -> str:
    lines = difflib.unified_diff(
        found.splitlines(), wanted.splitlines(), fromfile=path, tofile=f"{path} as rendered", lineterm="", n=2
    )
    return "\n".join(lines) or "only line endings differ"
