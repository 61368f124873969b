"""Where a job in Actions may differ from the same command on a machine, and executors from each other: the rows of `parity.toml`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from ci.catalog.columns import Explained, Sourced, Text, VariableName, matching
from ci.catalog.decode import Reader

__all__ = ["Allowed", "DecidedBy", "Follows", "ParityRules", "load_parity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(Sourced):
    """A field that may differ; `path` may hold `*`."""

    KEY: ClassVar[str] = "path"

    path: Annotated[str, matching(r"[a-z][\w.*-]*", "a field's path, e.g. placement.host")]


class DecidedBy(StrEnum):
    """What two runs of the same tests may have apart, so that their digests are not the same."""

    IMAGE = "image"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows(Explained):
    """A field of `work` that differs only because what it is decided `by` does; `path` may hold `*`."""

    KEY: ClassVar[str] = "path"
    REPEATS: ClassVar[bool] = True

    path: Annotated[str, matching(r"work\.[\w.*-]*", "a field of work, e.g. work.container*")]
    by: DecidedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable(Explained):
    id: VariableName
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRules:
    """`parity.toml`; `variables` are what a runner sets, by name."""

    allowed: tuple[Allowed, ...]
    follows: tuple[Follows, ...]
    variables: Mapping[str, str]

    def allows(self, path: str) -> Allowed | None:
        """The first row that a field fits."""
        return next((row for row in self.allowed if fnmatchcase(path, row.path)), None)

    def follow(self, path: str, apart: Collection[DecidedBy]) -> Follows | None:
        """The first row that a field fits, of what is `apart`."""
        return next((row for row in self.follows if row.by in apart and fnmatchcase(path, row.path)), None)


def load_parity(reader: Reader) -> ParityRules:
    """Read parity.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("parity.toml", "allowed", "follows", "variable")
    allowed = file.rows("allowed", Allowed)
    for row in allowed:
        if row.path.startswith("work"):
            what = "is in `work`, which decides verdicts"
            reader.problem(row, "path", what, "only placement may differ: where a plan runs and for whom")
    return ParityRules(
        allowed=allowed,
        follows=file.rows("follows", Follows),
        variables={row.id: row.value for row in file.rows("variable", _Variable)},
    )
