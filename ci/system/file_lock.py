"""One at a time on this host: a file lock that says who holds it."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ci.errors import InfrastructureError

__all__ = ["cache_dir", "held"]


def cache_dir(environ: Mapping[str, str]) -> Path:
    """This user's cache of this project: `AMD_CI_CACHE`, else in `XDG_CACHE_HOME`, else in `~/.cache`."""
    if environ.get("AMD_CI_CACHE"):
        return Path(environ["AMD_CI_CACHE"]).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base).absolute() / "sglang-amd-ci"


@contextmanager
def held(
    path: Path,
    owner: Mapping[str, str | int],
    *,
    on_wait: Callable[[str], None],
    pause: Callable[[], None],
) -> Iterator[bool]:
    """Hold the lock; the value is whether somebody else had it first.

    The kernel gives it back when this process ends in any way. `owner` is written into the file for those who wait;
    `on_wait` gets the other's words once, `pause` is called between two looks and may raise to give up.

    Raises:
        InfrastructureError: the file can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("a+")
    except OSError as error:
        raise InfrastructureError(
            f"the lock {path} can't be made: {error.strerror}",
            cause="the cache directory is not writable, or the disk is full",
            then="AMD_CI_CACHE=/writable/folder names another",
        ) from error
    with file:
        waited = False
        while not _taken(file):
            if not waited:
                waited = True
                on_wait(_words(file))
            pause()
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"pid": os.getpid(), **owner}))
        file.flush()
        yield waited


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _words(file: IO[str]) -> str:
    """Who holds it, as far as the file says."""
    file.seek(0)
    try:
        data = json.loads(file.read())
        return ", ".join(f"{key} {value}" for key, value in data.items())
    except (ValueError, AttributeError):
        return "a process that has just begun"
