"""A disk that is full, for this process, and file systems that are small or read-only, which need root."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["file_system", "files_of_at_most"]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Make the kernel take a part of a write and refuse the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def file_system(folder: Path, *options: str) -> Iterator[Path]:
    """A file system in memory, mounted with these options in a new folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "amdci-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
