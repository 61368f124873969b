"""Where a job in Actions may differ from the same command on a machine: the rows of `parity.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = ["Allowed", "ParityRules", "load_parity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A field that may differ; `path` may hold `*`."""

    path: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRules:
    """`parity.toml`; `variables` are what a runner sets, by name."""

    allowed: tuple[Allowed, ...]
    variables: Mapping[str, str]

    def allows(self, path: str) -> Allowed | None:
        """The first row that a field fits."""
        return next((row for row in self.allowed if fnmatchcase(path, row.path)), None)


def load_parity(problems: list[Problem], folder: Path = Path(__file__).parent) -> ParityRules:
    """Read and check `parity.toml`; what is wrong is added to `problems`."""
    tables = Tables(folder / "parity.toml", problems, arrays=("allowed", "variable"))
    allowed, variables = tables.rows("allowed", "path"), tables.rows("variable")
    tables.unique(allowed, "path")
    tables.unique(variables)
    return ParityRules(
        allowed=tuple(_allowed(row) for row in allowed), variables=dict(_variable(row) for row in variables)
    )


def _allowed(row: Row) -> Allowed:
    found = Allowed(
        path=row.text("path", matches=r"[a-z][\w.*-]*"), why=row.text("why"), source=row.text("source")
    )
    if found.path.startswith("work"):
        row.problem("path", "is in `work`, which decides verdicts", "only where and for whom may differ")
    row.done()
    return found


def _variable(row: Row) -> tuple[str, str]:
    found = row.text("id", matches=r"[A-Z][A-Z0-9_]*"), row.text("value")
    row.text("why")
    row.done()
    return found
