"""What differs between two plans, field by field."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.plan.model import Plan

__all__ = ["Difference", "compare", "flat", "source_of"]

_ABSENT = "(absent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field: its dotted path, both values as JSON text, and where each came from."""

    path: str
    left: str
    right: str
    left_source: str
    right_source: str


def compare(left: Plan, right: Plan) -> tuple[Difference, ...]:
    """Fields of `work` and `placement` that differ, in the order of their paths."""
    a, b = flat(left), flat(right)
    rows = []
    for path in sorted(a.keys() | b.keys()):
        one, two = a.get(path, _ABSENT), b.get(path, _ABSENT)
        if one != two:
            rows.append(
                Difference(
                    path=path,
                    left=one,
                    right=two,
                    left_source=source_of(left, path),
                    right_source=source_of(right, path),
                )
            )
    return tuple(rows)


def source_of(plan: Plan, path: str) -> str:
    """The source of the nearest field above that has one."""
    while path:
        if path in plan.sources:
            return plan.sources[path]
        path = path.rpartition(".")[0]
    return ""


def flat(plan: Plan) -> dict[str, str]:
    """Every field of both parts by its dotted path, as text."""
    data = plan.to_json()
    out: dict[str, str] = {}
    for part in ("work", "placement"):
        _walk(part, data[part], out)
    return out


def _walk(path: str, value: Any, out: dict[str, str]) -> None:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _walk(f"{path}.{key}", item, out)
    elif isinstance(value, list) and value:
        for key, item in zip(_names(value), value, strict=True):
            _walk(f"{path}.{key}", item, out)
    else:
        out[path] = value if isinstance(value, str) else json.dumps(value)


def _names(items: list[Any]) -> list[str]:
    """Items with an id are named by it, so that one test more does not shift all that follow."""
    ids = [item.get("id") if isinstance(item, Mapping) else None for item in items]
    if all(isinstance(name, str) for name in ids) and len(set(ids)) == len(ids):
        return [str(name) for name in ids]
    return [str(number) for number in range(len(items))]
