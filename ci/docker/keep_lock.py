"""One run at a time in a kept container: a file lock that ends with its process."""

import fcntl
from pathlib import Path
from typing import IO

from ci.errors import InfrastructureError

__all__ = ["KeptLock"]


class KeptLock:
    """Not taken at first."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    @property
    def taken(self) -> bool:
        """Whether we hold it."""
        return self._file is not None

    def take(self, path: Path) -> bool:
        """Take it unless another process holds it; whether we have it.

        Raises:
            InfrastructureError: the file can't be made.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        except OSError as error:
            raise InfrastructureError(
                f"the lock {path} can't be made: {error.strerror}", cause="the disk is full", then="df -h"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None
