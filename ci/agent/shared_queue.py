"""The part of a queue that other agents have too: nothing is started before it is claimed, and what they have is left to them."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

from .claims import Claims, Seen
from .spec import ClaimsSpec

__all__ = ["SharedQueue"]

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the user's disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk or the network file system failed",
    errno.ESTALE: "the folder was removed, or its server was started anew",
}


class SharedQueue:
    """What this agent may still claim. After the first error of the folder it claims nothing more.

    `lacks_slots`: too few GPUs are left here for a test that others may have room for, so this agent does not wait for more.
    """

    def __init__(self, spec: ClaimsSpec, emit: Callable[..., None]) -> None:
        self.is_over = False
        self.failed_elsewhere = False
        self.lacks_slots = False
        self._spec = spec
        self._emit = emit
        self._claims: Claims | None = None
        self._next_look = 0.0

    @property
    def may_give(self) -> bool:
        """Whether there may be more to do for this agent when it has nothing left."""
        return not self.is_over and not self.lacks_slots

    def look(self, *, at_once: bool = False) -> Seen | None:
        """What all agents have said so far; None when it is not yet time to look, or nothing more is to be claimed."""
        now = time.monotonic()
        if self.is_over or (now < self._next_look and not at_once):
            return None
        self._next_look = now + self._spec.look_s
        try:
            seen = self._opened().look()
        except OSError as error:
            self._fail(error)
            return None
        self.failed_elsewhere = seen.is_fail_fast
        self.is_over = seen.is_closed or seen.is_fail_fast
        return seen

    def take(self, place: int, number: int) -> bool:
        """Claim a test for this try."""
        try:
            return not self.is_over and self._opened().take(place, number)
        except OSError as error:
            self._fail(error)
            return False

    def end_the_run(self) -> None:
        """A test has ended a run that fails fast."""
        try:
            self._opened().end_the_run()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Claim nothing more."""
        self.is_over = True

    def _opened(self) -> Claims:
        if self._claims is None:
            self._claims = Claims(Path(self._spec.folder), self._spec.worker)
        return self._claims

    def _fail(self, error: OSError) -> None:
        self.is_over = True
        folder = self._spec.folder
        self._emit(
            "executor-failed",
            what=f"cannot claim tests in {folder}: {error.strerror}",
            cause=_CAUSES.get(
                error.errno or 0, "the folder is missing or not ours, or its file system failed"
            ),
            then=f"df -h {folder}",
            problems=[],
            verdict="infra",
        )
