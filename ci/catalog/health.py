"""What is looked at on a GPU before and after a run: error counters, and tools for where sysfs shows nothing."""

from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Tables
from ci.catalog.verdicts import Verdict
from ci.errors import Problem

__all__ = ["Counter", "HealthRows", "HealthTool", "load_health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A number in files below a GPU's device folder; `verdict` says what its growth during a run means."""

    id: str
    glob: str
    field: str
    verdict: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthTool:
    """A command that prints the VRAM in use as JSON; its id says which of the shapes that we read."""

    id: str
    argv: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRows:
    """All rows of health.toml."""

    counters: tuple[Counter, ...]
    tools: tuple[HealthTool, ...]


def load_health(problems: list[Problem], folder: Path) -> HealthRows:
    """Read health.toml; what is wrong with it is added to `problems`."""
    tables = Tables(folder / "health.toml", problems, arrays=("counter", "tool"))
    counter_rows, tool_rows = tables.rows("counter"), tables.rows("tool")
    tables.unique(counter_rows)
    tables.unique(tool_rows)
    counters = []
    for row in counter_rows:
        counter = Counter(
            id=row.text("id"),
            glob=row.text("glob"),
            field=row.text("field"),
            verdict=row.text("verdict", among=(Verdict.HARDWARE, "note")),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        counters.append(counter)
    tools = []
    for row in tool_rows:
        tool = HealthTool(
            id=row.text("id", among=("amd-smi", "rocm-smi")),
            argv=row.texts("argv"),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        tools.append(tool)
    return HealthRows(counters=tuple(counters), tools=tuple(tools))
