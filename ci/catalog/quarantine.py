"""Quarantine: tests that run and gate nothing on some hardware until a date, the rows of `quarantine.toml`."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from ci.catalog.columns import Row, Text, Texts, Url
from ci.catalog.decode import Reader
from ci.catalog.hardware import HardwareCatalog
from ci.errors import Problem

__all__ = ["Quarantine", "QuarantineTable", "load_quarantine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine(Row):
    """A test file or pytest node id that gates nothing on some hardware classes, from `since` to `expires` inclusive.

    A node id without parameters means the case with all its parameters.
    """

    KEY: ClassVar[str] = "test"
    REPEATS: ClassVar[bool] = True

    test: Text
    hardware: Texts
    reason: Text
    issue: Url
    since: date
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineTable:
    """The rows, and what is wrong with them: these problems have an exit code of their own."""

    rows: tuple[Quarantine, ...]
    problems: tuple[Problem, ...]

    def row(self, test: str, hardware_class: str) -> Quarantine | None:
        """The row of a test on a hardware class."""
        return next((row for row in self.rows if row.test == test and hardware_class in row.hardware), None)


def load_quarantine(reader: Reader, hardware: HardwareCatalog) -> QuarantineTable:
    """Read quarantine.toml. Whether a row has expired or its test exists is judged where a day and tests are known."""
    problems: list[Problem] = []
    file = reader.open("quarantine.toml", "quarantine", problems=problems)
    rows = file.rows("quarantine", Quarantine)
    file.refer("quarantine", "hardware", "hardware class", hardware.classes)
    seen: dict[tuple[str, str], Quarantine] = {}
    for row in rows:
        if row.since > row.expires:
            what = f"since {row.since} is after expires {row.expires}"
            reader.problem(row, "since", what, "a quarantine begins before it ends")
        for hardware_class in dict.fromkeys(row.hardware):
            first = seen.setdefault((row.test, hardware_class), row)
            if first is not row:
                reader.problem(
                    row, "", f"appears twice for {hardware_class}", f"first in {reader.line(first)}"
                )
    return QuarantineTable(rows=rows, problems=tuple(problems))
