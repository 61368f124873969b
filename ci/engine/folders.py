"""The folder of what is made for the engine: each thing in it is whole or not there, whoever made it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Final

from ci.errors import InfrastructureError
from ci.system import clock
from ci.system.file_digests import FileDigests, digest_of_files
from ci.system.file_lock import held

__all__ = [
    "ENGINES",
    "Made",
    "changed_files",
    "free_bytes",
    "holding",
    "is_whole",
    "list_made",
    "note_use",
    "remove_made",
    "whole",
]

# In this project's cache.
ENGINES: Final = "engines"

# Written last: a folder without it is not complete.
_MARKER: Final = "ready"
# What the files were when it was made, for a reader who wants to know which of them has changed.
_FILES: Final = "files.json"
_OURS: Final = frozenset({_MARKER, _FILES})
_UNFINISHED: Final = ".making-"
# what `st_blocks` counts
_BLOCK_BYTES: Final = 512
# How often to look whether another process has finished.
_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One thing that was made: a base, a layer, weights, a hub cache; or what a killed process has left of one.

    `shared_bytes` of its size are files that uv's cache or another folder has too: removing it does not free them.
    """

    folder: Path
    size_bytes: int
    shared_bytes: int
    used: datetime
    finished: bool


def is_whole(folder: Path) -> bool:
    """Whether a folder is there and complete."""
    return (folder / _MARKER).is_file()


def note_use(folder: Path) -> None:
    """Note the use, which `./inv engine.list` shows; in a read-only folder nothing is noted."""
    with suppress(OSError):
        os.utime(folder / _MARKER)


def changed_files(folder: Path) -> Mapping[str, str] | None:
    """The files that are not as they were made, with their digests now (empty: removed); None where that is not known."""
    digests = _digests(folder.parent)
    try:
        made = json.loads((folder / _MARKER).read_text(encoding="utf-8")).get("files", "")
        if not made:
            return None
        if digests.of_folder(folder, skip=_OURS) == made:
            return {}
        before = json.loads((folder / _FILES).read_text(encoding="utf-8"))
    except (OSError, ValueError, AttributeError):
        return None
    now = digests.files(folder, skip=_OURS)
    return {
        path: now.get(path, "")
        for path in sorted(before.keys() | now.keys())
        if now.get(path) != before.get(path)
    }


def _digests(engines: Path) -> FileDigests:
    return FileDigests(engines.parent / "digests")


def _record(folder: Path) -> str:
    """Write down what the files are; returns the digest of them all."""
    digests = _digests(folder.parent)
    digest = digests.of_folder(folder, skip=_OURS)
    files = dict(digests.files(folder, skip=_OURS))
    (folder / _FILES).write_text(json.dumps(files, indent=0), encoding="utf-8")
    return digest if digest_of_files(files) == digest else ""


def whole(
    folder: Path,
    make: Callable[[Path], None],
    *,
    recording: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Make a folder under another name and give it its own when `make` has filled it; called with the lock held.

    What its files are is written down in it; `recording` is entered while they are read.
    """
    unfinished = folder.with_name(f"{_UNFINISHED}{folder.name}")
    try:
        make(unfinished)
        with recording():
            files = _record(unfinished)
        made = {"made": clock.iso(clock.utc_now()), "name": folder.name, "files": files}
        (unfinished / _MARKER).write_text(json.dumps(made) + "\n", encoding="utf-8")
        if folder.exists():  # one whose Python was removed
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def holding(engines: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Be the only one who makes or removes anything there; what a killed process has left is removed first.

    Raises:
        InfrastructureError: the folder cannot be written, also when the body found that.
    """
    try:
        with held(
            engines / "make.lock",
            {},
            on_wait=lambda _words: tell("another process is making an engine's environment; waiting for it"),
            pause=lambda: clock.sleep_s(_LOOK_EVERY_S),
        ):
            for folder in engines.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(folder, ignore_errors=True)
            yield
    except OSError as error:
        raise InfrastructureError(
            f"cannot write to {engines}: {error.strerror or error}",
            cause="the disk is full, or the folder is read-only or belongs to another user",
            then=f"df -h {engines}; AMD_CI_CACHE=DIR names another cache",
        ) from error


def free_bytes(folder: Path) -> int:
    """What may still be written below a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def list_made(engines: Path) -> tuple[Made, ...]:
    """All that was made there, by name."""
    return tuple(_made(folder) for folder in sorted(engines.glob("*/")))


def remove_made(
    engines: Path, chosen: Callable[[Made], bool], *, tell: Callable[[str], None]
) -> tuple[Made, ...]:
    """Remove what is chosen; nobody takes it for whole from its first removed file on.

    Raises:
        InfrastructureError: a process has files of it open, or something of it cannot be removed.
    """
    if not engines.exists():
        return ()
    with holding(engines, tell):
        removed = tuple(made for made in list_made(engines) if chosen(made))
        if users := {made.folder.name: pids for made in removed if (pids := _users(made.folder))}:
            raise InfrastructureError(
                "in use: " + "; ".join(f"{name} by process {pids}" for name, pids in users.items()),
                cause="a run has not ended, or its server was left over",
                then="wait for it, or: ./inv runs.sweep; then: ./inv engine.remove",
            )
        for made in removed:
            (made.folder / _MARKER).unlink(missing_ok=True)
            shutil.rmtree(made.folder)
    return removed


def _made(folder: Path) -> Made:
    marker = folder / _MARKER
    finished = marker.is_file()
    used_s = (marker if finished else folder).stat().st_mtime
    found = [path.lstat() for path in folder.rglob("*")]
    return Made(
        folder=folder,
        size_bytes=sum(each.st_blocks * _BLOCK_BYTES for each in found),
        shared_bytes=sum(
            each.st_blocks * _BLOCK_BYTES for each in found if each.st_nlink > 1 and S_ISREG(each.st_mode)
        ),
        used=datetime.fromtimestamp(used_s, tz=UTC),
        finished=finished,
    )


def _users(folder: Path) -> str:
    """The numbers of the processes that have a library or weights of this folder loaded."""
    name, pids = f"{folder.resolve()}/".encode(), []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if name in maps.read_bytes():
                pids.append(maps.parent.name)
    return ", ".join(pids)
