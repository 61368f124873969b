"""Runner pools, their labels, and which pool an event's jobs go to: the rows of `runners.toml`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ci.catalog.columns import Count, Day, Row, Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.hardware import HardwareCatalog

__all__ = ["Label", "Pool", "Routing", "Runners", "load_runners"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Sourced):
    """Machines of one hardware class that runner labels point to."""

    id: Text
    hardware: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Row):
    """One runner label: its pool and how many GPUs a job on it sees."""

    KEY: ClassVar[str] = "label"

    label: Text
    pool: Text
    gpus: Count
    fabric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing(Sourced):
    """Which pool each event's jobs of a hardware family go to; one row per family is in force."""

    id: Text
    family: Text
    since: Day
    in_force: bool = False
    pull_request: Text
    schedule: Text
    dispatch: Text

    @property
    def pool_by_event(self) -> Mapping[str, str]:
        """The pool of each event, by GitHub's name of the event."""
        return {
            "pull_request": self.pull_request,
            "schedule": self.schedule,
            "workflow_dispatch": self.dispatch,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Runners:
    """All rows of runners.toml."""

    pools: Mapping[str, Pool]
    labels: tuple[Label, ...]
    routings: tuple[Routing, ...]


def load_runners(reader: Reader, hardware: HardwareCatalog) -> Runners:
    """Read runners.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("runners.toml", "pool", "label", "routing")
    runners = Runners(
        pools={row.id: row for row in file.rows("pool", Pool)},
        labels=file.rows("label", Label),
        routings=file.rows("routing", Routing),
    )
    file.refer("pool", "hardware", "hardware class", hardware.classes)
    file.refer("label", "pool", "pool", runners.pools)
    file.refer("routing", "family", "hardware family", hardware.families)
    for event in ("pull_request", "schedule", "dispatch"):
        file.refer("routing", event, "pool", runners.pools)
    for routing in runners.routings:
        for name in dict.fromkeys(routing.pool_by_event.values()):
            pool = runners.pools.get(name)
            family = (
                hardware.classes[pool.hardware].family if pool and pool.hardware in hardware.classes else ""
            )
            if family not in ("", routing.family):
                reader.problem(
                    routing, "family", f"is {routing.family!r}, but pool {name!r} is of family {family!r}"
                )
    if reader.opened("hardware.toml").complete("label"):
        for label in runners.labels:
            _check_label(reader, hardware, label, runners.pools.get(label.pool))
    if file.complete("routing"):
        for family in hardware.families:
            active = [row.id for row in runners.routings if row.family == family and row.in_force]
            if len(active) != 1:
                what = f"{len(active)} rows of family {family} are in force: {', '.join(active) or 'none'}"
                file.problem("routing", what, "set in_force = true in exactly one of them")
    return runners


def _check_label(reader: Reader, hardware: HardwareCatalog, label: Label, pool: Pool | None) -> None:
    """A job finds its hardware class and GPU count by the label of its runner, so both have to be those of the rows."""
    if pool is None or pool.hardware not in hardware.classes:
        return
    found = hardware.label_rule(label.label)
    if found is None:
        what = f"no [[label]] of hardware.toml matches {label.label!r}"
        pattern = _pattern(label.label, label.gpus)
        hint = f'add one there: id = "{pool.id}", pattern = \'{pattern}\', class = "{pool.hardware}", source = "..."'
        reader.problem(label, "label", what, hint)
    elif (found[0].cls, found[1]) != (pool.hardware, label.gpus):
        rule, gpus = found
        what = f"is {gpus} x {rule.cls} by {reader.where(rule)}, but {label.gpus} x {pool.hardware} by this row and its pool"
        reader.problem(label, "label", what, "fix the row that is wrong")


def _pattern(label: str, gpus: int) -> str:
    """A pattern for the labels of a pool, as the other rows have it: the number beside `gpu` is the group `gpus`."""
    prefix = re.split(rf"(gpu-)?(?<![0-9]){gpus}(?![0-9])", label, maxsplit=1)[0].replace(".", r"\.")
    return rf"{prefix}(gpu-)?(?P<gpus>[1-9])(gpu)?\b"
