"""Where the agents of an attempt's roles meet: small files in a folder of the run, which all of its nodes share.

Every file has one writer and is written whole (a new file takes its place); the first failure is the link that exists first. So
a folder on NFS does, and nothing depends on a clock.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ENDED", "READY", "STARTING", "Failure", "Meeting", "State", "names_in"]

STARTING, READY, ENDED = "starting", "ready", "ended"
_FIRST = "failed.json"
_STOP = "stop.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A role as its agent sees it: `starting`, `ready` after `took_s`, or `ended`, because of what."""

    role: str
    state: str
    host: str
    ports: Mapping[str, int] = field(default_factory=dict)
    pid: int | None = None
    took_s: float = 0.0
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The role that failed first, judged by its own log."""

    role: str
    verdict: str
    evidence: tuple[str, ...]
    rule: str | None = None
    symptom: str = ""


class Meeting:
    """The folder of one attempt. A file that cannot be read is one that is not there yet; what cannot be written is known here alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unwritten: dict[str, State] = {}
        self._unwritten_failure: Failure | None = None

    def open(self, about: Mapping[str, Any]) -> None:
        """Make the folder; `about` says whose attempt it is, and is there last."""
        self.folder.mkdir(parents=True)
        self._write("attempt.json", about)

    def about(self) -> Mapping[str, Any] | None:
        """What `open` was given."""
        return self._read("attempt.json")

    def say(self, state: State) -> None:
        """Take the place of what was said about this role before; raises OSError when others cannot see it."""
        self._unwritten[state.role] = state
        self._write(f"{state.role}.json", asdict(state))
        del self._unwritten[state.role]

    def state(self, role: str) -> State | None:
        """What was said last about a role."""
        if role in self._unwritten:
            return self._unwritten[role]
        found = self._read(f"{role}.json")
        return State(**found) if found is not None else None

    def fail(self, failure: Failure) -> bool:
        """Say that a role failed; false when another failed before, or when others cannot see it."""
        try:
            draft = self._write(f"failed.{failure.role}.json", asdict(failure))
            try:
                os.link(draft, self.folder / _FIRST)
            except OSError:
                # over NFS a link may be there although the answer says that it is not; some file systems have none
                if _FIRST not in names_in(self.folder):
                    self._write(_FIRST, asdict(failure))
        except OSError:
            self._unwritten_failure = self._unwritten_failure or failure
            return False
        found = self.failure()
        return found is not None and found.role == failure.role

    def failure(self) -> Failure | None:
        """The first failure."""
        found = self._read(_FIRST)
        if found is None:
            return self._unwritten_failure
        return Failure(**{**found, "evidence": tuple(found["evidence"])})

    def stop(self) -> None:
        """Ask all roles to end; raises OSError when they cannot see it."""
        self._write(_STOP, {})

    def is_stopped(self) -> bool:
        """Whether all roles were asked to end."""
        return _STOP in names_in(self.folder)

    def say_left(self, node: int, paths: Sequence[str]) -> None:
        """All roles of this node have ended; what they had left in shared memory, now removed. Raises OSError when others cannot see it."""
        self._write(f"left.{node}.json", {"paths": list(paths)})

    def left(self, node: int) -> "list[str] | None":
        """The same of another node; None while its roles may run."""
        found = self._read(f"left.{node}.json")
        return list(found["paths"]) if found is not None else None

    def _write(self, name: str, value: Mapping[str, Any]) -> Path:
        path, draft = self.folder / name, self.folder / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(value), encoding="utf-8")
        draft.replace(path)
        return path

    def _read(self, name: str) -> "dict[str, Any] | None":
        if name not in names_in(self.folder):
            return None
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def names_in(folder: Path) -> "frozenset[str]":
    """What a folder has, nothing when it cannot be read. It is listed: a network file system may answer from its cache about a single name."""
    with suppress(OSError):
        return frozenset(path.name for path in folder.iterdir())
    return frozenset()
