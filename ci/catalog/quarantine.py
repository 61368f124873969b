"""Quarantine: tests that run and gate nothing on some hardware until a date, the rows of `quarantine.toml`."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ci.catalog.hardware import HardwareCatalog
from ci.catalog.records import Quarantine
from ci.catalog.toml_reader import Tables
from ci.errors import Problem

__all__ = ["QuarantineTable", "load_quarantine"]

_URL = r"https://\S+"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineTable:
    """The rows, and what is wrong with them: these problems have an exit code of their own."""

    rows: tuple[Quarantine, ...]
    problems: tuple[Problem, ...]

    def row(self, test: str, hardware_class: str) -> Quarantine | None:
        """The row of a test on a hardware class."""
        return next((row for row in self.rows if row.test == test and hardware_class in row.hardware), None)


def load_quarantine(folder: Path, hardware: HardwareCatalog) -> QuarantineTable:
    """Read and check `quarantine.toml`. Whether a row has expired or its test exists is not for the file to say."""
    problems: list[Problem] = []
    tables = Tables(folder / "quarantine.toml", problems, arrays=("quarantine",))
    rows = []
    seen: dict[tuple[str, str], str] = {}
    for row in tables.rows("quarantine", "test"):
        quarantine = Quarantine(
            test=row.text("test"),
            hardware=row.texts("hardware", among=hardware.classes),
            reason=row.text("reason"),
            issue=row.text("issue", matches=_URL),
            since=row.day("since", date.min),
            expires=row.day("expires", date.max),
        )
        if not quarantine.hardware and row.raw("hardware") == []:
            row.problem("hardware", "is empty", "name the hardware classes on which the test gates nothing")
        if quarantine.since > quarantine.expires:
            what = f"since {quarantine.since} is after expires {quarantine.expires}"
            row.problem("since", what, "a quarantine begins before it ends")
        for hardware_class in dict.fromkeys(quarantine.hardware):
            key = (quarantine.test, hardware_class)
            if key in seen:
                row.problem("", f"stands there twice for {hardware_class}", f"see {seen[key]}")
            seen[key] = row.where
        row.done()
        rows.append(quarantine)
    return QuarantineTable(rows=tuple(rows), problems=tuple(problems))
