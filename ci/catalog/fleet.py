"""What a fleet of machines does in a day, for its simulation: the rows of `fleet.toml`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from ci.catalog.change_rules import Selects
from ci.catalog.columns import Count, NotNegative, Positive, Slug, Sourced, Text, Whole, within
from ci.catalog.decode import Reader
from ci.catalog.runners import Runners

__all__ = [
    "HOURS",
    "Arrival",
    "ChangeKind",
    "Failure",
    "FailureRow",
    "FleetPolicy",
    "FleetRows",
    "Machines",
    "QueueOrder",
    "load_fleet",
]

HOURS: Final = 24
_Share = Annotated[float, within(0, 1)]
# what a simulated change can select: its files are not known
_SELECTABLE = (Selects.NOTHING, Selects.REGISTERED, Selects.DEFAULT, Selects.EVERYTHING)


class QueueOrder(StrEnum):
    """Which waiting job gets the GPUs that are free."""

    # the one that came first, even if others would fit
    FIRST_COME = "first-come"
    # the first that fits: large jobs may wait for long
    FIRST_FIT = "first-fit"


class Failure(StrEnum):
    """Why a job fails."""

    # one job of the change, each time that it is run
    PRODUCT = "product"
    # every job of the change, before its first test
    BROKEN = "broken"
    # any job, by chance
    CHANCE = "chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines(Sourced):
    """The machines of a runner pool, and how long a job's set-up takes there.

    `pull_s` is a pull of the image when no other is under way, `pull_each_s` how much longer it takes for each other one from the same
    of the pool's `registries`. `set_up_s` is the rest before the first test. `spread` is the standard deviation of the
    logarithm of both.
    """

    KEY: ClassVar[str] = "pool"

    pool: Text
    count: Count
    gpus: Count
    pull_s: NotNegative
    pull_each_s: NotNegative = 0
    registries: Count = 1
    set_up_s: NotNegative
    spread: NotNegative = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival(Sourced):
    """Events of one kind: how many in a day, their share by hour in UTC, and the stages whose jobs each starts.

    `selective`: its jobs are those that a change selects. `gates`: a stage waits for the ones before it.
    """

    id: Slug
    event: Text
    stages: tuple[Text, ...]
    per_day: Positive
    by_hour: tuple[NotNegative, ...] = (1,) * HOURS
    selective: bool = False
    gates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKind(Sourced):
    """A kind of change: what it selects, and which share of all changes it is."""

    id: Slug
    selects: Selects
    share: _Share


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Sourced):
    """How often something fails: a share of changes for `product` and `broken`, of jobs for `chance`."""

    id: Failure
    share: _Share


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPolicy(Sourced):
    """How jobs are queued, ended and repeated, and how estimates become durations.

    A job that runs into its limit ends there and counts as one that ended. `fail_fast`: the first failed job ends all others of its change. A job that failed by chance, and those that it ended, run again
    after `rerun_after_s`, up to `reruns` times. A job's tests take `factor` times their estimates, with `spread` as the
    standard deviation of the logarithm.
    """

    id: Slug
    queue: QueueOrder
    fail_fast: bool
    reruns: Whole
    rerun_after_s: NotNegative
    factor: Positive
    spread: NotNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRows:
    """All rows of fleet.toml."""

    machines: Mapping[str, Machines]
    arrivals: tuple[Arrival, ...]
    changes: tuple[ChangeKind, ...]
    failures: Mapping[Failure, float]
    policy: FleetPolicy


def load_fleet(reader: Reader, runners: Runners, stages: Collection[str]) -> FleetRows:
    """Read fleet.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("fleet.toml", "machines", "arrival", "change", "failure", "policy")
    machines = {row.pool: row for row in file.rows("machines", Machines)}
    arrivals = file.rows("arrival", Arrival)
    changes = file.rows("change", ChangeKind)
    failures = file.rows("failure", FailureRow)
    file.refer("machines", "pool", "pool", runners.pools)
    file.refer("arrival", "stages", "stage", stages)
    for arrival in arrivals:
        if len(arrival.by_hour) != HOURS or not sum(arrival.by_hour):
            what = f"has {len(arrival.by_hour)} hours" if sum(arrival.by_hour) else "is all zeros"
            reader.problem(arrival, "by_hour", what, f"{HOURS} numbers, the first for 00:00 to 01:00 UTC")
    for change in changes:
        if change.selects not in _SELECTABLE:
            hint = "one of " + ", ".join(each.value for each in _SELECTABLE)
            reader.problem(
                change, "selects", f"is {change.selects.value!r}, which a simulated change cannot be", hint
            )
    if file.complete("machines"):
        for label in runners.labels:
            row = machines.get(label.pool)
            if row is not None and row.gpus < label.gpus:
                what = f"is {row.gpus}, but {label.label} gives a job {label.gpus}"
                reader.problem(row, "gpus", what, "a job runs on one machine")
    if file.complete("change") and abs(sum(change.share for change in changes) - 1) > 1e-6:
        total = sum(change.share for change in changes)
        file.problem("change", f"the shares add up to {total:g}", "they must add up to 1")
    if file.complete("failure"):
        for kind in Failure:
            if kind not in {row.id for row in failures}:
                file.problem("failure", f"{kind} is missing", f'add [[failure]] id = "{kind}"')
    return FleetRows(
        machines=machines,
        arrivals=arrivals,
        changes=changes,
        failures={row.id: row.share for row in failures},
        policy=file.row("policy", FleetPolicy),
    )
