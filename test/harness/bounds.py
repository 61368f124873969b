"""Judging what a test measured by the rows of `ci/catalog/bounds.toml` for this test and hardware class."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping

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
        _refuse_impossible(metric, value)
    broken = [
        words for metric, value in values.items() for words in _judge(spec, metric, value, rows[metric])
    ]
    if broken:
        raise BoundsError("\n".join(broken))


def _refuse_impossible(metric: str, value: float) -> None:
    if math.isfinite(value) and value >= 0:
        return
    kind = "not a number" if math.isnan(value) else "infinite" if math.isinf(value) else "negative"
    raise MeasurementError(
        f"{metric} was measured as {value:g}, which is {kind}: no bound is asked, nothing is recorded",
        cause="the measurement failed: no request ended, or a clock ran backwards",
    )


def _judge(spec: Spec, metric: str, value: float, row: Bound) -> Iterator[str]:
    """Record the value with its row, and with its ceiling as an event of its own; what is broken, in words."""
    for bound in (row, row.ceiling):
        if bound is None:
            continue
        ok = (bound.report_only and not bound.op) or holds(bound, value)
        judged = {
            "ok": ok,
            "op": bound.op,
            "limit": bound.limit,
            "source": bound.source,
            "report_only": bound.report_only,
        }
        events.metric(metric, value, bound.unit, judged)
        if not ok and not bound.report_only:
            yield (
                f"{metric} = {value:g} {bound.unit}, must be {bound.op} {bound.limit:g} on {spec.hardware_class} "
                f"(row in ci/catalog/bounds.toml, source: {bound.source})"
            )


def check(metric: str, value: float) -> None:
    """`check_all` for one metric."""
    check_all({metric: value})
