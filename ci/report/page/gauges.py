"""Metrics beside their bounds, with the distance to the bound as it is drawn."""

import math
from dataclasses import dataclass

from ci.record.model import RunRecord
from ci.report import model
from ci.report.model import BoundState

__all__ = ["Gauge", "gauges"]

# the ends of the scale: further from its bound a value is drawn at the end
_FULL = 0.5

_KINDS = {
    BoundState.HOLDS: "passed",
    BoundState.BROKEN: "failed",
    BoundState.REPORTED_ONLY: "flaky",
    BoundState.UNMEASURED: "failed",
    BoundState.EXCUSED: "flaky",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A metric beside its bound.

    `distance` is the share of the limit by which the value is on the good side, negative on the other; None where there is no
    bound or no value. `drawn` is the same from -50 to 50 for the drawing.
    """

    row: model.Measured
    kind: str
    distance: float | None

    @property
    def drawn(self) -> float:
        """Percent of the drawing's width, from its middle, where the bound is."""
        distance = self.distance or 0.0
        return round(50 * max(-1.0, min(1.0, distance / _FULL)), 1)

    @property
    def words(self) -> str:
        """`4.2 % inside`, `12 % outside`; empty without a distance."""
        if self.distance is None:
            return ""
        percent = abs(self.distance) * 100
        side = "inside" if self.distance >= 0 and self.kind != "failed" else "outside"
        return f"{percent:.3g} % {side}" if percent < 1000 else f"more than 1000 % {side}"


def gauges(record: RunRecord) -> list[Gauge]:
    """The metrics of each test's last attempt, what has to hold and does not first, unmeasured ones before all."""
    rows = model.measured(record)
    first = [row for row in rows if not row.has_value]
    return [
        Gauge(row=row, kind=_KINDS.get(row.state, "skipped"), distance=_distance(row))
        for row in (*first, *(row for row in rows if row.has_value))
    ]


def _distance(row: model.Measured) -> float | None:
    bound, value = row.metric.bound, row.metric.value
    if not row.has_value or bound is None or not bound.op or not bound.limit or not math.isfinite(value):
        return None
    share = (value - bound.limit) / abs(bound.limit)
    return share if bound.op.startswith(">") else -share
