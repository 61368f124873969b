"""The folder `slurm` of a run folder, by which submitter, head and workers speak to each other."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ci.errors import InfrastructureError, disk_cause, writing

__all__ = [
    "BEAT_S",
    "NOT_THERE",
    "REPOSITORY",
    "SlurmFiles",
    "cannot_read",
    "is_there",
    "read_whole",
    "write_whole",
]

# how often the head shows that it lives
BEAT_S: Final = 5.0
# where our own programs are, on every node
REPOSITORY: Final = Path(__file__).parents[3]
# a file that is not there yet, and one that the server has made anew under its name
NOT_THERE: Final = (errno.ENOENT, errno.ESTALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmFiles:
    """The names in `RUN/slurm`; `run` is the run folder."""

    run: Path

    @property
    def folder(self) -> Path:
        """All of it."""
        return self.run / "slurm"

    @property
    def job(self) -> Path:
        """Which job it is: by the submitter, or by the head where the submitter ended before."""
        return self.folder / "job.json"

    @property
    def withdrawn(self) -> Path:
        """There when the submitter has given up a job of which it had no answer: one that Slurm takes later does nothing."""
        return self.folder / "withdrawn"

    @property
    def probe(self) -> Path:
        """What every node must be able to read."""
        return self.folder / "probe"

    @property
    def spec(self) -> Path:
        """What all workers have to do, without what is each one's own."""
        return self.folder / "spec.json"

    @property
    def batch_log(self) -> Path:
        """What the batch script prints."""
        return self.folder / "batch.log"

    @property
    def head_events(self) -> Path:
        """The head's events."""
        return self.folder / "head.jsonl"

    @property
    def end(self) -> Path:
        """How it ended, by the head, last of all."""
        return self.folder / "end.json"

    def meetings(self, start: int) -> Path:
        """Where the agents of roles meet; `start` counts how often the job was started again."""
        return self.run / "roles" / str(start)

    def lost(self, start: int, node: int) -> Path:
        """There when this node of the run, from 1, is lost."""
        return self.meetings(start) / f"lost-{node}"

    def settled(self, start: int) -> Path:
        """There when no test with roles on several nodes is left."""
        return self.meetings(start) / "settled"

    @property
    def beat(self) -> Path:
        """What the head writes anew every few seconds, so that its silence can be told from its end: its node's name and a count."""
        return self.folder / "beat"

    @property
    def queue(self) -> Path:
        """Where the workers' agents claim tests."""
        return self.folder / "queue"

    @property
    def claims(self) -> Path:
        """The claims of all workers."""
        return self.queue / "claims"

    def claims_by(self, number: str) -> Path:
        """A worker's own files of its claims."""
        return self.queue / "by" / number

    @property
    def given_again(self) -> Path:
        """The places that may be claimed a second time."""
        return self.queue / "again"

    @property
    def closed(self) -> Path:
        """There when every test is settled: workers without a test end."""
        return self.queue / "closed"

    @property
    def follow_lock(self) -> Path:
        """Held by the process that writes the record."""
        return self.folder / "follow.lock"

    def again(self, place: int) -> Path:
        """There when the test at this place of the order may be claimed a second time."""
        return self.given_again / str(place)

    @property
    def all_workers(self) -> Path:
        """The workers' own folders."""
        return self.folder / "workers"

    def worker(self, number: str) -> Path:
        """A worker's own folder."""
        return self.all_workers / number

    def events(self, number: str) -> Path:
        """A worker's events."""
        return self.worker(number) / "events.jsonl"

    def hello(self, number: str) -> Path:
        """What a worker found on its node."""
        return self.worker(number) / "hello.json"

    def given_up(self, number: str) -> Path:
        """There when a worker is given up: it ends, and what it writes counts no more."""
        return self.worker(number) / "given-up"

    def step_log(self, number: str) -> Path:
        """What a worker and its srun print on standard error."""
        return self.worker(number) / "srun.log"

    @property
    def workers(self) -> tuple[str, ...]:
        """The numbers of the workers that there are, in their order.

        Raises:
            InfrastructureError: the folder cannot be read.
        """
        folder = self.all_workers
        try:
            names = [path.name for path in folder.iterdir()]
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise cannot_read(folder, error) from error
            names = []
        return tuple(sorted(filter(str.isdigit, names), key=int))

    def make_worker(self, number: str) -> None:
        """Make a worker's folder with an empty file of events: a file that is not there yet is one that NFS remembers as missing.

        Raises:
            InfrastructureError: it cannot be made.
        """
        folder = self.worker(number)
        with writing(folder):
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            self.events(number).touch()


def cannot_read(path: Path, error: OSError) -> InfrastructureError:
    """A file or folder of the run that is there and cannot be read."""
    return InfrastructureError(
        f"cannot read {path}: {error.strerror}",
        cause=disk_cause(
            error,
            otherwise="the shared file system does not answer, or the folder is not readable for this user",
        ),
        then=f"ls -la {path.parent}",
    )


def is_there(path: Path) -> bool:
    """Whether a file of the run is there.

    Raises:
        InfrastructureError: that cannot be known.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno in NOT_THERE:
            return False
        raise cannot_read(path, error) from error
    return True


def write_whole(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON so that a reader finds all of it or nothing, on the disk of the server too.

    Raises:
        InfrastructureError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(data) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def read_whole(path: Path) -> Mapping[str, Any]:
    """What `write_whole` has written; empty when it is missing or is not whole."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
