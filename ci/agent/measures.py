"""The bounds of an attempt: what was measured, what was broken, and which case would have measured the rest."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .spec import Metric

__all__ = ["Measures", "Unmeasured"]

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A row without a value. `excuse` is the missing feature that explains it; without one it is not held.

    `instead` says how the cases that would have measured it ended, `owned_by_failed`: one of them failed.
    """

    row: Metric
    excuse: str = ""
    instead: tuple[str, ...] = ()
    owned_by_failed: bool = False

    @property
    def held(self) -> bool:
        """Whether nothing follows from it: it is excused, or a failure has already counted."""
        return bool(self.excuse) or self.owned_by_failed

    def text(self) -> str:
        """The row and what to do, for a person."""
        why = f" ({'; '.join(self.instead)})" if self.instead else ""
        return (
            f"unmeasured: no value of {self.row.metric!r} was judged{why}, and ci/catalog/bounds.toml has a row for it; "
            "next: measure it, or remove the row"
        )

    def event(self, evidence: Sequence[str]) -> dict[str, object]:
        """What `test-ended` has of it, beside this evidence."""
        row = self.row
        bound = {
            "ok": False,
            "op": row.op,
            "limit": row.limit,
            "source": row.source,
            "report_only": row.report_only,
        }
        return {
            "metric": row.metric,
            "unit": row.unit,
            "bound": bound,
            "because": self.excuse,
            "failed": self.text() in evidence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A case that ended without a pass; `lacks` is the feature that it needs and the engine does not have."""

    name: str
    outcome: str
    lacks: str
    message: str


class Measures:
    """Follows the metrics and the cases of one attempt; `narrowed` when not the whole file was requested."""

    def __init__(self, rows: Iterable[Metric], *, path: str, narrowed: bool) -> None:
        self._rows = tuple(rows)
        self._path = path
        self._narrowed = narrowed
        self._judged: set[str] = set()
        self._broken: list[str] = []
        self._ended: list[_Ended] = []
        self._collected: set[str] = set()

    def collect(self, names: Iterable[object]) -> None:
        """Cases that pytest is going to run, by the node ids' part behind the file and without parameters."""
        self._collected.update(str(name) for name in names)

    def take(self, keys: dict[str, Any]) -> None:
        """A `metric` message; whether its bound holds is computed here and not believed."""
        bound, value = keys["bound"], keys["value"]
        if bound is None:
            return
        self._judged.add(keys["metric"])
        compare = _OPERATORS.get(bound["op"])
        bound["ok"] = bound["ok"] if compare is None else compare(value, bound["limit"])
        if not bound["ok"] and not bound["report_only"]:
            unit = f" {keys['unit']}" if keys["unit"] else ""
            must = f"must be {bound['op']} {bound['limit']:g}" if compare else "its bound is broken"
            self._broken.append(f"{keys['metric']} = {value:g}{unit}, {must}")

    def take_broken(self) -> str:
        """The bounds that were broken since the last call, in one line; empty when none was."""
        broken, self._broken = self._broken, []
        return "; ".join(broken)

    def end_case(self, case: str, outcome: str, *, lacks: str, message: str) -> None:
        """A case ended."""
        if outcome != "passed":
            self._ended.append(_Ended(name=self._name(case), outcome=outcome, lacks=lacks, message=message))

    def unmeasured(self) -> tuple[Unmeasured, ...]:
        """The rows that were to be judged and were not."""
        return tuple(
            self._explain(row) for row in self._rows if row.metric not in self._judged and self._is_asked(row)
        )

    def _is_asked(self, row: Metric) -> bool:
        """In a part of a file: when every case that may measure it is in that part."""
        owners = set(row.measured_by)
        return not self._narrowed or (bool(owners) and owners <= self._collected)

    def _explain(self, row: Metric) -> Unmeasured:
        owners = [case for case in self._ended if _may_measure(case.name, row.measured_by)]
        idle = [case for case in owners if case.outcome != "failed"]
        lacking = [case.lacks for case in idle if case.lacks]
        excused = bool(lacking) and len(lacking) == len(owners)
        return Unmeasured(
            row=row,
            excuse=lacking[0] if excused else "",
            instead=tuple(
                dict.fromkeys(
                    f"{case.name or self._path} was {case.outcome}: {case.message}"
                    for case in idle
                    if not case.lacks
                )
            )[:3],
            owned_by_failed=len(idle) < len(owners),
        )

    def _name(self, case: str) -> str:
        """Without the file and the parameters; empty for the file itself."""
        return case.removeprefix(self._path).removeprefix("::").partition("[")[0]


def _may_measure(name: str, measured_by: Iterable[str]) -> bool:
    """Whether a case, a class or the file (empty) holds one of the cases that measure; unknown ones may be any."""
    owners = tuple(measured_by)
    return not name or not owners or any(owner == name or owner.startswith(f"{name}::") for owner in owners)
