"""The rows `report.*` of `ci/catalog/limits.toml` as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from ci.errors import UsageError

__all__ = ["ReportLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLimits:
    """Every number that the reports cut or wait by; each field is the row of the same name."""

    progress_every_s: float
    refresh_per_s: float
    tail_lines: int
    tail_bytes: int
    case_lines: int
    summary_bytes: int
    annotations_max: int
    slowest_tests: int

    @classmethod
    def of(cls, limits: Mapping[str, float]) -> Self:
        """Pick the rows out of the catalog's limits, which are named in full (`report.tail_lines`).

        Raises:
            UsageError: a row is missing.
        """
        names = [field.name for field in fields(cls)]
        missing = [f"report.{name}" for name in names if f"report.{name}" not in limits]
        if missing:
            raise UsageError(
                f"limits.toml lacks {', '.join(missing)}",
                cause="a row was removed",
                then="git diff ci/catalog",
            )
        rows = {name: limits[f"report.{name}"] for name in names}
        return cls(
            progress_every_s=rows["progress_every_s"],
            refresh_per_s=rows["refresh_per_s"],
            tail_lines=int(rows["tail_lines"]),
            tail_bytes=int(rows["tail_bytes"]),
            case_lines=int(rows["case_lines"]),
            summary_bytes=int(rows["summary_bytes"]),
            annotations_max=int(rows["annotations_max"]),
            slowest_tests=int(rows["slowest_tests"]),
        )
