"""Bounds: what a metric of a test has to be on a hardware class, the rows of `bounds.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ci.catalog.columns import NotNegative, OneOrMore, Row, Text
from ci.catalog.decode import Reader
from ci.catalog.engines import Engine
from ci.catalog.hardware import HardwareCatalog

__all__ = ["Bound", "Op", "is_ceiling", "load_bounds"]


class Op(StrEnum):
    """How a value compares with its limit: two floors, two ceilings, and nothing where a row only reports."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement(Row):
    KEY: ClassVar[str] = "test"
    REPEATS: ClassVar[bool] = True

    hardware: tuple[Text, ...]
    engine: Text = ""
    op: Op = Op.NONE
    limit: NotNegative = 0
    unit: Text = ""
    report_only: bool = False
    why: Text = ""
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class _BoundRow(_Judgement):
    """A row of the file: one bound for every pair of its tests and metrics."""

    test: OneOrMore
    metric: OneOrMore


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound(_Judgement):
    """What a metric of a test has to be on some hardware classes; `report_only` rows judge nothing.

    `engine` is empty where it holds for every engine.
    """

    test: Text
    metric: Text


def is_ceiling(bound: _Judgement) -> bool:
    """Whether the row limits a metric from above; a row without an `op` judges nothing and is not a ceiling."""
    return bound.op in (Op.BELOW, Op.AT_MOST)


def load_bounds(
    reader: Reader, hardware: HardwareCatalog, engines: Mapping[str, Engine]
) -> tuple[Bound, ...]:
    """Read bounds.toml; what is wrong with it is added to the reader's problems.

    A metric of a test has for an engine on one hardware class one row, or a floor and a ceiling that leave room between them.
    `hardware` may also name a reference class, which no machine is of.
    """
    file = reader.open("bounds.toml", "bound")
    rows = file.rows("bound", _BoundRow)
    file.refer("bound", "hardware", "hardware class", (*hardware.classes, *hardware.references))
    file.refer("bound", "engine", "engine", engines)
    bounds = []
    seen: dict[tuple[str, str, str], list[_BoundRow]] = {}
    for row in rows:
        judges = reader.has(row, "op") and reader.has(row, "limit")
        if not row.report_only and not judges:
            reader.problem(row, "", "needs op and limit", "or report_only = true and a why")
        if row.report_only and not row.why:
            reader.problem(row, "", "why is missing", "a row that judges nothing says why")
        engine = engines.get(row.engine)
        for hardware_class in dict.fromkeys(row.hardware):
            if engine and hardware_class in hardware.classes and not engine.serves(hardware_class):
                reader.problem(row, "hardware", f"{row.engine} does not serve {hardware_class}")
        for test in dict.fromkeys(row.test):
            for metric in dict.fromkeys(row.metric):
                for hardware_class in dict.fromkeys(row.hardware):
                    others = seen.setdefault((test, metric, hardware_class), [])
                    name = f"{metric} of {test} on {hardware_class}"
                    _check_beside(reader, row, name, [other for other in others if _meet(other, row)])
                    others.append(row)
                bounds.append(_one(row, test, metric))
                reader.remember_part(bounds[-1], row)
    return tuple(bounds)


def _one(row: _BoundRow, test: str, metric: str) -> Bound:
    return Bound(
        test=test,
        metric=metric,
        hardware=row.hardware,
        engine=row.engine,
        op=row.op,
        limit=row.limit,
        unit=row.unit,
        report_only=row.report_only,
        why=row.why,
        source=row.source,
    )


def _meet(one: _BoundRow, other: _BoundRow) -> bool:
    """Whether some engine has both rows."""
    return one.engine == other.engine or not (one.engine and other.engine)


def _check_beside(reader: Reader, row: _BoundRow, name: str, earlier: list[_BoundRow]) -> None:
    """A second row of the same test, metric and class has to be the other direction and to leave room."""
    if not earlier:
        return
    first = earlier[0]
    where = reader.line(first)
    if len(earlier) > 1 or not (first.op and row.op) or is_ceiling(first) == is_ceiling(row):
        hint = f"see {where}; write one row, or one floor (> or >=) and one ceiling (< or <=)"
        reader.problem(row, "", f"{name} appears twice", hint)
        return
    floor, ceiling = (first, row) if is_ceiling(row) else (row, first)
    touching = floor.limit == ceiling.limit and (floor.op, ceiling.op) != (Op.AT_LEAST, Op.AT_MOST)
    if floor.limit > ceiling.limit or touching:
        what = f"{name}: floor {floor.op} {floor.limit:g} and ceiling {ceiling.op} {ceiling.limit:g} are reversed"
        reader.problem(row, "limit", what, f"no value can hold both; the other row is {where}")
    if floor.unit != ceiling.unit:
        what = f"{name}: floor in {floor.unit!r}, ceiling in {ceiling.unit!r}"
        reader.problem(row, "unit", what, f"use one unit; the other row is {where}")
