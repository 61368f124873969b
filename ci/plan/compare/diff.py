"""What differs between two plans, field by field; what only one of them has is one difference, however deep it is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ci.plan.model import Plan

__all__ = ["ABSENT", "PRESENT", "Difference", "compare", "flat", "source_of"]

_MISSING: Final = object()
ABSENT = "(absent)"
PRESENT = "present"
# A test that only one plan has is named once, in its suite; its bounds say nothing more.
_BOUNDS = "work.bounds."


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field: its dotted path, both values as text, and where each came from.

    Of a list of plain values each side shows those that the other does not have.
    """

    path: str
    left: str
    right: str
    left_source: str
    right_source: str


def compare(left: Plan, right: Plan) -> tuple[Difference, ...]:
    """Fields of `work` and `placement` that differ, in the order of their paths."""
    a, b = left.to_json(), right.to_json()
    found = [row for part in ("work", "placement") for row in _differences(part, a[part], b[part])]
    one_sided = _tests(left) ^ _tests(right)
    return tuple(
        Difference(
            path=path,
            left=one,
            right=two,
            left_source=source_of(left, path),
            right_source=source_of(right, path),
        )
        for path, one, two in sorted(found)
        if path.removeprefix(_BOUNDS) not in one_sided
    )


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


def _tests(plan: Plan) -> frozenset[str]:
    return frozenset(test.id for suite in plan.work.suites for test in suite.tests)


def _differences(path: str, one: Any, two: Any) -> Iterator[tuple[str, str, str]]:
    """Paths with both values as text."""
    if one == two:
        return
    left, right = _named(one), _named(two)
    if left is None or right is None:
        yield (path, *_texts(one, two))
        return
    for key in dict.fromkeys((*left, *right)):
        yield from _differences(f"{path}.{key}", left.get(key, _MISSING), right.get(key, _MISSING))
    common = [key for key in left if key in right], [key for key in right if key in left]
    if isinstance(one, list) and common[0] != common[1]:
        yield path, f"in order: {', '.join(common[0])}", f"in order: {', '.join(common[1])}"


def _named(value: Any) -> Mapping[str, Any] | None:
    """The items of a mapping, or of a list of mappings; None for a value without names in it."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return dict(zip(_names(value), value, strict=True))
    return None


def _texts(one: Any, two: Any) -> tuple[str, str]:
    if isinstance(one, list) and isinstance(two, list):
        only = [item for item in one if item not in two], [item for item in two if item not in one]
        left, right = only if any(only) else (one, two)
        return _text(left), _text(right)
    return _text(one), _text(two)


def _text(value: Any) -> str:
    """One line for a value of any depth."""
    if value is _MISSING:
        return ABSENT
    if isinstance(value, Mapping) and value:
        tests = value.get("tests")
        return f"{len(tests)} tests" if isinstance(tests, list) else PRESENT
    if isinstance(value, list) and value:
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)


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
