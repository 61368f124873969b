"""Bounds: what a metric of a test has to be on a hardware class, the rows of `bounds.toml`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ci.catalog.hardware import HardwareCatalog
from ci.catalog.records import Bound
from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = ["CEILINGS", "FLOORS", "is_ceiling", "load_bounds"]

FLOORS = (">", ">=")
CEILINGS = ("<", "<=")


def is_ceiling(bound: Bound) -> bool:
    """Whether the row says how much a metric may be at most; a row without an `op` judges nothing and is no ceiling."""
    return bound.op in CEILINGS


def load_bounds(problems: list[Problem], folder: Path, hardware: HardwareCatalog) -> tuple[Bound, ...]:
    """Read and check `bounds.toml`; what is wrong is added to `problems`.

    A metric of a test has on one hardware class one row, or a floor and a ceiling that leave room between them.
    `hardware` may also name a reference class, which no machine is of.
    """
    tables = Tables(folder / "bounds.toml", problems, arrays=("bound",))
    classes = (*hardware.classes, *hardware.references)
    bounds = []
    seen: dict[tuple[str, str, str], list[tuple[Row, Bound]]] = {}
    for row in tables.rows("bound"):
        for bound in _bounds(row, classes):
            for hardware_class in dict.fromkeys(bound.hardware):
                earlier = seen.setdefault((bound.test, bound.metric, hardware_class), [])
                _check_beside(row, bound, hardware_class, earlier)
                earlier.append((row, bound))
            bounds.append(bound)
    return tuple(bounds)


def _one_or_several(row: Row, key: str) -> tuple[str, ...]:
    """A string, or the strings of a list that is not empty."""
    if not isinstance(row.raw(key), list):
        return (row.text(key),)
    names = row.texts(key)
    if not names:
        row.problem(key, "is empty", f"name a {key}")
    return tuple(dict.fromkeys(names))


def _bounds(row: Row, classes: Iterable[str]) -> list[Bound]:
    """What a row says: `test` and `metric` may each be a list, the row then stands for every pair of the two."""
    report_only = row.flag("report_only")
    tests, metrics = _one_or_several(row, "test"), _one_or_several(row, "metric")
    bound = Bound(
        test="",
        metric="",
        hardware=row.texts("hardware", among=tuple(classes)),
        op=row.text("op", "" if report_only else ">", among=(*FLOORS, *CEILINGS)),
        limit=row.number("limit", 0, least=0),
        unit=row.text("unit", ""),
        report_only=report_only,
        why=row.text("why", ""),
        source=row.text("source"),
    )
    if not report_only and (row.raw("op") is None or row.raw("limit") is None):
        row.problem("limit", "a row that judges needs op and limit", "or say report_only = true with a why")
    if report_only and not bound.why:
        row.problem("why", "is missing", "a row that judges nothing says why")
    row.done()
    return [replace(bound, test=test, metric=metric) for test in tests for metric in metrics]


def _check_beside(row: Row, bound: Bound, hardware_class: str, earlier: list[tuple[Row, Bound]]) -> None:
    """A second row of the same test, metric and class has to be the other direction and to leave room."""
    if not earlier:
        return
    first_row, first = earlier[0]
    name = f"{bound.metric} of {bound.test} on {hardware_class}"
    directions = {is_ceiling(first), is_ceiling(bound)}
    if len(earlier) > 1 or not (first.op and bound.op) or len(directions) == 1:
        hint = f"see {first_row.where}; one row, or one floor (> or >=) and one ceiling (< or <=)"
        row.problem("", f"{name} stands there twice", hint)
        return
    floor, ceiling = (first, bound) if is_ceiling(bound) else (bound, first)
    touching = floor.limit == ceiling.limit and (floor.op, ceiling.op) != (">=", "<=")
    if floor.limit > ceiling.limit or touching:
        what = f"{name}: floor {floor.op} {floor.limit:g} and ceiling {ceiling.op} {ceiling.limit:g} are reversed"
        row.problem("limit", what, f"nothing can hold both; the other row is {first_row.where}")
    if floor.unit != ceiling.unit:
        row.problem("unit", f"{name}: floor in {floor.unit!r}, ceiling in {ceiling.unit!r}", "use one unit")
