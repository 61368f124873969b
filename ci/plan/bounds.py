"""The bounds of a plan: the rows for its tests, its engine and its hardware class, as docs/harness.md has them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ci.catalog.bounds import Bound, is_ceiling
from ci.catalog.catalog import Catalog
from ci.catalog.registrations.test_requirements import Requirements
from ci.plan.model import BoundWork

__all__ = ["bounds_of"]


def bounds_of(
    catalog: Catalog,
    hardware_class: str,
    tests: Iterable[str],
    *,
    engine: str,
    requirements: Mapping[str, Requirements] | None = None,
) -> dict[str, dict[str, BoundWork]]:
    """By test, by metric: its row, the floor first; the ceiling of a floor is in it as `ceiling`.

    `requirements` say by test which cases measure what; that is left open without them.
    """
    files = set(tests)
    bounds: dict[str, dict[str, BoundWork]] = {}
    rows = [
        row
        for row in catalog.bounds
        if row.test in files and hardware_class in row.hardware and row.engine in {"", engine}
    ]
    for row in sorted(rows, key=is_ceiling):
        metrics = bounds.setdefault(row.test, {})
        floor = metrics.get(row.metric)
        if floor is None:
            asked = (requirements or {}).get(row.test, Requirements())
            metrics[row.metric] = replace(_bound(row), measured_by=asked.measured_by(row.metric))
        else:
            metrics[row.metric] = replace(floor, ceiling=_bound(row))
    return bounds


def _bound(row: Bound) -> BoundWork:
    return BoundWork(
        op=row.op, limit=row.limit, unit=row.unit, source=row.source, report_only=row.report_only
    )
