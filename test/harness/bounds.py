"""Judging what a test measured by the rows of `ci/catalog/bounds.toml` for this test and hardware class."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from harness import events
from harness.errors import BoundsError, MeasurementError, MissingBoundError
from harness.spec import Bound, Spec, current

__all__ = ["check", "check_all", "holds"]

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def holds(bound: Bound, value: float) -> bool:
    """Whether `value` fits the bound's operator and limit; raises `MissingBoundError` for an operator we don't know."""
    if bound.op not in _OPERATORS:
        raise MissingBoundError(f"a bound's op is {bound.op!r}, not one of {', '.join(_OPERATORS)}")
    return _OPERATORS[bound.op](value, bound.limit)


def _row(spec: Spec, metric: str) -> Bound:
    try:
        return spec.bounds[spec.test][metric]
    except KeyError:
        raise MissingBoundError(
            f"metric {metric!r} of {spec.test or 'a test without an id'} has no bound on {spec.hardware_class}",
            then=(
                f'add to ci/catalog/bounds.toml: [[bound]] test = "{spec.test}", metric = "{metric}", '
                f'hardware = ["{spec.hardware_class}"], with op, limit, unit, source and why (or report_only = true)'
            ),
        ) from None


def check_all(values: Mapping[str, float]) -> None:
    """Record every value with its bound, then raise one `BoundsError` that names all broken ones.

    Raises `MissingBoundError` for a metric without a row and `MeasurementError` for a value that is not finite or is
    negative, before anything is recorded.
    """
    spec = current()
    rows = {metric: _row(spec, metric) for metric in values}
    for metric, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise MeasurementError(
                f"{metric} was measured as {value}, which can't be",
                cause="the measurement failed, not the bound",
            )
    broken = []
    for metric, value in values.items():
        row = rows[metric]
        ok = (row.report_only and not row.op) or holds(row, value)
        judged = {
            "ok": ok,
            "op": row.op,
            "limit": row.limit,
            "source": row.source,
            "report_only": row.report_only,
        }
        events.metric(metric, value, row.unit, judged)
        if not ok and not row.report_only:
            broken.append(
                f"{metric} = {value:g} {row.unit}, must be {row.op} {row.limit:g} on {spec.hardware_class} "
                f"(row in ci/catalog/bounds.toml, source: {row.source})"
            )
    if broken:
        raise BoundsError("\n".join(broken))


def check(metric: str, value: float) -> None:
    """`check_all` for one metric."""
    check_all({metric: value})
