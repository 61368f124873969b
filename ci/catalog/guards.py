"""What no installation may change unannounced, and what has to be importable: the rows of `guards.toml`."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Tables
from ci.errors import Problem

__all__ = ["Guards", "Probe", "Protected", "Start", "load_guards"]

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """A distribution that is fingerprinted before and after every step; `module` is what it is imported as."""

    distribution: str
    module: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A working directory from which servers and tests start: Python looks for packages there first."""

    cwd: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A dotted name that has to be importable from every start directory.

    Where its distribution is not installed that is a violation for the flavours of `required_in`, else nothing to probe.
    """

    name: str
    distribution: str
    required_in: tuple[str, ...]
    fix: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The whole file."""

    protected: tuple[Protected, ...]
    starts: tuple[Start, ...]
    probes: tuple[Probe, ...]


def load_guards(problems: list[Problem], folder: Path, *, flavours: Collection[str]) -> Guards:
    """Read and check `guards.toml`; every problem is added to `problems`."""
    tables = Tables(folder / "guards.toml", problems, arrays=("protected", "start", "probe"))
    protected_rows = tables.rows("protected", "distribution")
    start_rows, probe_rows = tables.rows("start", "cwd"), tables.rows("probe", "name")
    for rows, key in ((protected_rows, "distribution"), (start_rows, "cwd"), (probe_rows, "name")):
        tables.unique(rows, key)
    protected, starts, probes = [], [], []
    for row in protected_rows:
        protected.append(
            Protected(
                distribution=row.text("distribution", matches=r"[a-z0-9]+(-[a-z0-9]+)*"),
                module=row.text("module", matches=r"[A-Za-z_]\w*"),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    names = [row.distribution for row in protected]
    for row in start_rows:
        starts.append(
            Start(cwd=row.text("cwd", matches=r"/.*"), why=row.text("why"), source=row.text("source"))
        )
        row.done()
    for row in probe_rows:
        probes.append(
            Probe(
                name=row.text("name", matches=_DOTTED),
                distribution=row.text("distribution", among=names),
                required_in=row.texts("required_in", [], among=flavours),
                fix=row.text("fix"),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    return Guards(protected=tuple(protected), starts=tuple(starts), probes=tuple(probes))
