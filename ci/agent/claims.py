"""Which of several agents runs a test: claims in a folder that all of them see, made so that a network file system keeps them apart.

`by/WORKER/PLACE.TRY` is an agent's own empty file, `claims/PLACE.TRY` a link to it: whoever has the link has the test. Nothing has
content, so nothing can be torn. `again/PLACE` lets a test be claimed a second time, `closed` says that all is settled, `fail-fast`
that a test ended the run. PLACE is the test's number in the spec.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Claims", "Seen"]

# a link and the agent's own name
_OWNED_LINKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What all agents have said so far. `claimed` are a place and a try each, `again` the places that may be claimed again."""

    claimed: frozenset[tuple[int, int]]
    again: frozenset[int]
    is_closed: bool
    is_fail_fast: bool


class Claims:
    """The claims of one agent. Every method raises `OSError` when the folder cannot be read or written."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder = folder
        self._claims, self._own = folder / "claims", folder / "by" / worker
        for each in (self._claims, self._own, folder / "again"):
            each.mkdir(parents=True, exist_ok=True)

    def take(self, place: int, number: int) -> bool:
        """Claim a test for this try, 1 or 2; false when another agent has it.

        The server of a network file system may repeat a request, so that `link` fails although it was done. The number of links
        is what counts.
        """
        name = f"{place}.{number}"
        own = self._own / name
        os.close(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        failure: OSError | None = None
        try:
            os.link(own, self._claims / name)
        except FileExistsError:
            pass
        except OSError as error:
            failure = error
        if _links(own) == _OWNED_LINKS:
            return True
        with suppress(OSError):
            own.unlink()
        if failure is not None:
            raise failure
        return False

    def look(self) -> Seen:
        """What is there now. Folders are listed: a network file system may answer from its cache about a single name."""
        top = _names(self.folder)
        return Seen(
            claimed=frozenset(
                (int(place), int(number))
                for place, _, number in (name.partition(".") for name in _names(self._claims))
                if place.isdecimal() and number.isdecimal()
            ),
            again=frozenset(int(name) for name in _names(self.folder / "again") if name.isdecimal()),
            is_closed="closed" in top,
            is_fail_fast="fail-fast" in top,
        )

    def end_the_run(self) -> None:
        """A test of this agent has ended a run that fails fast: nothing more is claimed."""
        _make(self.folder / "fail-fast")


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _links(path: Path) -> int:
    """How many names a file has; it is opened so that the server is asked."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fstat(descriptor).st_nlink
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
