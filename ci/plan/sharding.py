"""How good the shards of a suite are, and what would make them better."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.stages import Split, Suite
from ci.plan.select import Estimate, estimates
from ci.plan.shards import Balance, balance, longest_first

__all__ = ["Deadline", "FileSplit", "SuiteShards", "fewest_shards", "suite_shards"]

# a saving below this is within the noise of the estimates
_WORTH_S = 60.0
# parts of a file whose cases are not known
_PARTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSplit:
    """What dividing a file into `parts` of equal length would save of the longest shard."""

    file: str
    parts: int
    cases: int
    saved_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The fewest shards whose longest one ends in time; None where files that are `too_long` alone make that impossible."""

    shards: int | None
    makespan_s: float
    too_long: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteShards:
    """A suite's split as it is (`now`), the even one into as many shards, and what would make it shorter.

    `enough_even` is the smallest number of shards, split evenly, with a longest shard that is no longer than now.
    """

    suite: Suite
    files: int
    total_s: float
    now: Balance
    even: Balance
    enough_even: int
    file_split: FileSplit | None
    deadline: Deadline | None


def suite_shards(
    catalog: Catalog,
    tests: Discovery,
    *,
    fixed_files: Collection[str] = (),
    suites: Collection[str] = (),
    deadline_s: float | None = None,
) -> tuple[SuiteShards, ...]:
    """Every suite that has an enabled test, in the catalog's order; only those of these names where some are given."""
    found = []
    for suite in catalog.suites:
        if suites and suite.name not in suites:
            continue
        if items := estimates(tests, suite, fixed_files):
            found.append(_suite(suite, items, tests.cases, deadline_s))
    return tuple(found)


def _suite(
    suite: Suite, items: Sequence[Estimate], cases: Mapping[str, Sequence[str]], deadline_s: float | None
) -> SuiteShards:
    now = balance(items, suite.shards, suite.split)
    return SuiteShards(
        suite=suite,
        files=len(items),
        total_s=math.fsum(item.est_s for item in items),
        now=now,
        even=balance(items, suite.shards, Split.EVEN),
        enough_even=next(
            (
                count
                for count in range(1, suite.shards)
                if balance(items, count, Split.EVEN).makespan_s <= now.makespan_s
            ),
            suite.shards,
        ),
        file_split=_file_split(suite, items, now, cases),
        deadline=None if deadline_s is None else fewest_shards(items, deadline_s, suite.split),
    )


def _file_split(
    suite: Suite, items: Sequence[Estimate], now: Balance, cases: Mapping[str, Sequence[str]]
) -> FileSplit | None:
    """The longest file divided among its cases; None where that saves nothing that counts."""
    first, *others = longest_first(items)
    known = len(cases.get(first.id, ()))
    parts = min(known or _PARTS, suite.shards)
    if suite.shards < 2 or known == 1:
        return None
    pieces = [Estimate(id=f"{first.id}::{part}", est_s=first.est_s / parts) for part in range(parts)]
    after = balance([*others, *pieces], suite.shards, suite.split)
    saved_s = now.makespan_s - after.makespan_s
    return (
        FileSplit(file=first.id, parts=parts, cases=known, saved_s=saved_s) if saved_s >= _WORTH_S else None
    )


def fewest_shards(items: Sequence[Estimate], deadline_s: float, rule: Split) -> Deadline:
    """The smallest number of shards whose longest one takes at most `deadline_s`."""
    too_long = tuple(item.id for item in longest_first(items) if item.est_s > deadline_s)
    if too_long:
        alone = balance(items, len(items), rule)
        return Deadline(shards=None, makespan_s=alone.makespan_s, too_long=too_long)
    least = max(1, math.ceil(math.fsum(item.est_s for item in items) / deadline_s - 1e-9))
    for count in range(least, max(least, len(items)) + 1):
        makespan_s = balance(items, count, rule).makespan_s
        if makespan_s <= deadline_s:
            return Deadline(shards=count, makespan_s=makespan_s, too_long=())
    msg = "one test in each shard takes no longer than the longest"
    raise AssertionError(msg)
