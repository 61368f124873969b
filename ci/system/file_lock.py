"""One at a time on this host: locks on files, which the kernel gives back when their process ends in any way."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from ci.errors import InfrastructureError, writing

__all__ = ["FileLock", "cache_dir", "held", "wait_for_release"]


def cache_dir(environ: Mapping[str, str]) -> Path:
    """This user's cache of this project: `AMD_CI_CACHE`, else in `XDG_CACHE_HOME`, else in `~/.cache`."""
    if environ.get("AMD_CI_CACHE"):
        return Path(environ["AMD_CI_CACHE"]).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base).absolute() / "sglang-amd-ci"


class FileLock:
    """Not taken at first."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    @property
    def taken(self) -> bool:
        """Whether we hold it."""
        return self._file is not None

    def take(self, path: Path, owner: Mapping[str, str | int] | None = None) -> bool:
        """Take it unless another process holds it; whether we have it. `owner` is written down for those who wait.

        Raises:
            InfrastructureError: the file cannot be made or locked.
        """
        with writing(path, then=f"df -h {path.parent}; AMD_CI_CACHE=DIR names another cache"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError as error:
            file.close()
            raise InfrastructureError(
                f"cannot lock {path}: {error.strerror}",
                cause="its file system has no locks, as Lustre mounted without flock or NFS without lockd",
                then="AMD_CI_CACHE=DIR names another cache; for a Slurm run: clusters.toml, `shared`; docs/slurm.md",
            ) from error
        if owner is not None:
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), **owner}))
            file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None


@contextlib.contextmanager
def held(
    path: Path,
    owner: Mapping[str, str | int],
    *,
    on_wait: Callable[[str], None],
    pause: Callable[[], None],
) -> Iterator[bool]:
    """Hold a lock; the value is whether another process had it first.

    `on_wait` gets what the other one wrote, once; `pause` is called between two looks and may raise to give up.

    Raises:
        InfrastructureError: the file cannot be made.
    """
    lock = FileLock()
    waited = False
    while not lock.take(path, owner):
        if not waited:
            waited = True
            on_wait(_words(path))
        pause()
    try:
        yield waited
    finally:
        lock.release()


def wait_for_release(path: Path) -> None:
    """Wait until the lock is free; returns at once when there is none."""
    with contextlib.suppress(OSError), path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def _words(path: Path) -> str:
    """Who holds it, as far as the file says."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return ", ".join(f"{key} {value}" for key, value in data.items())
    except (OSError, ValueError, AttributeError):
        return "a process that has just started"
