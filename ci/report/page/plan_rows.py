"""The plan of a run for its page: each value with where it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci.plan.model import Plan
from ci.report.text import duration
from ci.system.codec import encode

__all__ = ["PlanRow", "PlanTable", "plan_tables"]

# parts of the work with tables of their own, or too long to be read
_APART = frozenset(
    {
        *("suites", "bounds", "capabilities", "models", "limits", "verdict_rules", "cpu_tests"),
        *("content", "container", "engine_build"),
    }
)
# the same of the placement
_PLACES = frozenset({"command", "container", "engine_build", "runner_labels", "shards_in_ci"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """A value, in words, and its source; empty where the plan names none."""

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTable:
    """Rows that belong together."""

    title: str
    rows: tuple[PlanRow, ...]


def plan_tables(plan: Plan) -> tuple[PlanTable, ...]:
    """The plan as tables, those without a row left out."""
    values: dict[str, Any] = encode(plan)
    work, placement = values["work"], values["placement"]
    tables = [
        _table(plan, "What is run", "work", {key: work[key] for key in work if key not in _APART}),
        _table(plan, "Where", "placement", {key: placement[key] for key in placement if key not in _PLACES}),
        *_suites(plan),
        _table(plan, "Container", "work.container", work["container"] or {}),
        _table(plan, "Container on this machine", "placement.container", placement["container"] or {}),
        _table(plan, "Environment of the engine", "work.engine_build", work["engine_build"] or {}),
        _table(plan, "Content, by SHA-256", "work.content", _flat(work["content"])),
        _table(plan, "Models", "work.models", {name: model.path for name, model in plan.work.models.items()}),
        _table(plan, "Capabilities", "work.capabilities", dict(_capabilities(plan))),
        _table(plan, "Limits", "work.limits", _flat(work["limits"])),
    ]
    return tuple(table for table in tables if table.rows)


def _suites(plan: Plan) -> Iterator[PlanTable]:
    for suite in plan.work.suites:
        path = f"work.suites.{suite.id}"
        about = {
            "shard": str(suite.shard or "the whole suite"),
            "tests": str(len(suite.tests)),
            "gpus": suite.gpus,
            "timeout_s": duration(suite.timeout_s),
            "attempts": suite.attempts,
            "retries": [f"{row.attempts} after {row.verdict}" for row in suite.retries],
        }
        yield _table(plan, f"Suite {suite.name}", path, about)
        yield _table(plan, f"Environment of {suite.name}", f"{path}.env", suite.env)


def _capabilities(plan: Plan) -> Iterator[tuple[str, str]]:
    for name, row in plan.work.capabilities.items():
        words = " ".join(row.args) or "no arguments"
        yield name, f"{words}: {row.why}" if row.allowed else f"not allowed: {row.why}"


def _table(plan: Plan, title: str, path: str, values: Mapping[str, Any]) -> PlanTable:
    """The values below a dotted path; a table without a source of its own for each value has the path's."""
    shared = plan.sources.get(path, "")
    rows = (
        PlanRow(name=name, value=_words(value), source=plan.sources.get(f"{path}.{name}", shared))
        for name, value in values.items()
    )
    return PlanTable(title=title, rows=tuple(rows))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _words(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_words, value))
        case dict():
            return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
        case _:
            return str(value)
