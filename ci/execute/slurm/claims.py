"""What a worker has claimed, as docs/slurm.md says it: the head reads it when the worker is lost."""

import os
from collections.abc import Iterator
from pathlib import Path

from ci.execute.slurm.files import SlurmFiles, cannot_read
from ci.execute.slurm.ledger import Claim

__all__ = ["claims_of"]

# a claim is a link to the worker's own file: the link that another worker was first with does not count
_OWNED = 2


def claims_of(files: SlurmFiles, number: str) -> tuple[Claim, ...]:
    """The claims of a worker that hold.

    Raises:
        InfrastructureError: the folder cannot be read.
    """
    folder = files.claims_by(number)
    try:
        return tuple(_claims(folder))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise cannot_read(folder, error) from error


def _claims(folder: Path) -> Iterator[Claim]:
    for path in folder.iterdir():
        place, _, tried = path.name.partition(".")
        if place.isdigit() and tried.isdigit() and _links(path) == _OWNED:
            yield Claim(place=int(place), tried=int(tried))


def _links(path: Path) -> int:
    """How many names a file has; it is opened, so that the server of a network file system is asked. 0 when it is gone."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_nlink
    except FileNotFoundError:
        return 0
