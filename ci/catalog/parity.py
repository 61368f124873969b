"""Where a job in Actions may differ from the same command on a machine: the rows of `parity.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from ci.catalog.columns import Explained, Sourced, Text, VariableName, matching
from ci.catalog.decode import Reader

__all__ = ["Allowed", "ParityRules", "load_parity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(Sourced):
    """A field that may differ; `path` may hold `*`."""

    KEY: ClassVar[str] = "path"

    path: Annotated[str, matching(r"[a-z][\w.*-]*", "a field's path, e.g. placement.host")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable(Explained):
    id: VariableName
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRules:
    """`parity.toml`; `variables` are what a runner sets, by name."""

    allowed: tuple[Allowed, ...]
    variables: Mapping[str, str]

    def allows(self, path: str) -> Allowed | None:
        """The first row that a field fits."""
        return next((row for row in self.allowed if fnmatchcase(path, row.path)), None)


def load_parity(reader: Reader) -> ParityRules:
    """Read parity.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("parity.toml", "allowed", "variable")
    allowed = file.rows("allowed", Allowed)
    for row in allowed:
        if row.path.startswith("work"):
            what = "is in `work`, which decides verdicts"
            reader.problem(row, "path", what, "only placement may differ: where a plan runs and for whom")
    return ParityRules(
        allowed=allowed, variables={row.id: row.value for row in file.rows("variable", _Variable)}
    )
