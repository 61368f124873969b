"""What differs between the plans of one request on several hardware classes: bounds, arguments, environment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ci.plan.compare.diff import flat, source_of
from ci.plan.model import BoundWork, Plan

__all__ = ["NOTHING", "ClassDifference", "bound_text", "compare_classes", "reference_column"]

NOTHING = "-"
# The column's own heading, and what makes a machine of one class another machine than one of the next.
_THE_CLASS_ITSELF = ("work.hardware_class",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """One field by hardware class, as text, with the source of each value.

    `path` is its place in the plan; for people it is `name` in `group`, e.g. a metric in the bounds of a test.
    """

    path: str
    group: str
    name: str
    values: Mapping[str, str]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    path: str
    group: str
    name: str
    value: str
    source: str


_ABSENT = _Field(path="", group="", name="", value=NOTHING, source="")


def compare_classes(plans: Mapping[str, Plan]) -> tuple[ClassDifference, ...]:
    """The fields of both parts of the plans that are not the same on every class, in the order of their paths.

    A bound, a capability and a quarantined test are one field each. What a class does not have is `-`.
    """
    fields = {name: {field.path: field for field in _fields(plan)} for name, plan in plans.items()}
    every = {path: field for found in fields.values() for path, field in found.items()}
    rows = []
    for path, field in sorted(every.items()):
        found = {name: of_class.get(path, _ABSENT) for name, of_class in fields.items()}
        if path not in _THE_CLASS_ITSELF and len({one.value for one in found.values()}) > 1:
            rows.append(
                ClassDifference(
                    path=path,
                    group=field.group,
                    name=field.name,
                    values={name: one.value for name, one in found.items()},
                    sources={name: one.source for name, one in found.items()},
                )
            )
    return tuple(rows)


def reference_column(
    rows: tuple[ClassDifference, ...], name: str, bounds: Mapping[str, Mapping[str, BoundWork]]
) -> tuple[ClassDifference, ...]:
    """The rows with the column of a class that no machine is of: its bounds, and nothing in the other fields.

    A bound in which only the reference class differs gets no row: the plans do not differ.
    """
    own = {field.path: field for field in _bounds(bounds)}
    return tuple(
        replace(
            row,
            values={**row.values, name: own.get(row.path, _ABSENT).value},
            sources={**row.sources, name: own.get(row.path, _ABSENT).source},
        )
        for row in rows
    )


def _fields(plan: Plan) -> Iterator[_Field]:
    for path, value in flat(plan).items():
        if not path.startswith(("work.bounds", "work.capabilities", "work.quarantine")):
            group, _, name = path.removeprefix("work.").rpartition(".")
            yield _Field(path=path, group=group, name=name, value=value, source=source_of(plan, path))
    yield from _bounds(plan.work.bounds)
    for test in plan.work.quarantine:
        source = plan.sources.get("work.quarantine", "")
        path = f"work.quarantine.{test}"
        yield _Field(path=path, group="quarantine", name=test, value="gates nothing", source=source)
    for name, answer in plan.work.capabilities.items():
        words = " ".join(answer.args)
        yield _Field(
            path=f"work.capabilities.{name}",
            group="server arguments that tests ask for",
            name=name,
            value=words if answer.allowed else f"left out: {words}",
            source=answer.issue or answer.why,
        )


def _bounds(bounds: Mapping[str, Mapping[str, BoundWork]]) -> Iterator[_Field]:
    for test, metrics in bounds.items():
        for metric, row in metrics.items():
            both = [row, *([row.ceiling] if row.ceiling is not None else [])]
            yield _Field(
                path=f"work.bounds.{test}.{metric}",
                group=f"bounds of {test}",
                name=metric,
                value=" and ".join(bound_text(one) for one in both),
                source="; ".join(dict.fromkeys(one.source for one in both)),
            )


def bound_text(row: BoundWork) -> str:
    """`< 100 ms`, `report only`."""
    if not row.op:
        return "report only"
    words = f"{row.op} {row.limit:g} {row.unit}".strip()
    return f"{words}, report only" if row.report_only else words
