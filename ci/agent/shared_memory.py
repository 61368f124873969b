"""Shared memory that an attempt has left: names in /dev/shm that a killed process can no longer remove.

A name is ours when one of the attempt's processes had it open or mapped. What another user or another program made stays.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["SharedMemory"]

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - it is what is looked at
PROC = Path("/proc")
# How often a new name is looked for in the attempt's processes: whoever made it has it open from the start.
LOOKS = 20

Name = tuple[str, int]


class SharedMemory:
    """The names with these prefixes that appear while an attempt runs."""

    def __init__(self, prefixes: Sequence[str], folder: Path = SHARED_MEMORY) -> None:
        self._prefixes = tuple(prefixes)
        self._folder = folder
        self._before = set(self._names())
        self._looks: dict[Name, int] = {}
        self._ours: set[Name] = set()

    def look(self, members: Callable[[], Iterable[int]]) -> None:
        """Find out which new names these processes hold; without new names nothing but the folder is read."""
        new = set(self._names()) - self._before - self._ours
        new = {name for name in new if self._looks.get(name, 0) < LOOKS}
        if not new:
            return
        for name in new:
            self._looks[name] = self._looks.get(name, 0) + 1
        self._ours |= self._held(new, members())

    def sweep(self) -> list[str]:
        """Remove those of ours that no living process holds; their paths."""
        ours = self._ours & set(self._names())
        left = ours - self._held(ours, _all_processes()) if ours else set()
        return [path for path in sorted(str(self._folder / name) for name, _ in left) if _removed(path)]

    def _names(self) -> Iterator[Name]:
        """Our user's files there, each with its inode: another may have the same name later."""
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(self._prefixes):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                            yield entry.name, found.st_ino
        except OSError:  # there is none, or a name vanished: the next look has the rest
            return

    def _held(self, names: set[Name], pids: Iterable[int]) -> set[Name]:
        """Those of the names that a process has open or mapped."""
        by_path = {str(self._folder / name): (name, inode) for name, inode in names}
        held: set[Name] = set()
        for pid in pids:
            for path in _open_and_mapped(pid):
                if path in by_path:
                    held.add(by_path[path])
        return held


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def _open_and_mapped(pid: int) -> Iterator[str]:
    """The paths that a process holds, as far as we may see them."""
    process = PROC / str(pid)
    try:
        for entry in (process / "fd").iterdir():
            yield str(entry.readlink())
    except OSError:
        pass  # it has ended, or is another user's
    try:
        maps = (process / "maps").read_text(errors="replace")
    except OSError:
        return
    for line in maps.splitlines():
        # address, rights, offset, device, inode, path
        fields = line.split(maxsplit=5)
        if len(fields) == 6:
            yield fields[5]


def _removed(path: str) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return False
    return True
