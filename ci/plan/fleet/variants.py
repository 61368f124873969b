"""What else could be done with the same events: one thing changed at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ci.plan.fleet.scenario import Fleet, Load
from ci.plan.shards import balance

__all__ = ["AS_IS", "Variant", "variants"]

AS_IS = "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A fleet under a name."""

    name: str
    fleet: Fleet


def variants(load: Load, base: Fleet) -> Iterator[Variant]:
    """The fleet as it is, then what each rule costs or saves, and other numbers of shards."""
    rows = load.catalog.fleet
    yield Variant(name=AS_IS, fleet=base)
    gates = any(row.gates for row in rows.arrivals if row.selective)
    yield Variant(
        name="without stage gates" if gates else "with stage gates", fleet=replace(base, gates=not gates)
    )
    fast = rows.policy.fail_fast
    yield Variant(
        name="without fail-fast" if fast else "with fail-fast", fleet=replace(base, fail_fast=not fast)
    )
    yield Variant(name="without selection", fleet=replace(base, selection=False))
    yield Variant(name="shards split evenly", fleet=replace(base, even=True))
    enough = {
        suite.name: balance(tests, suite.shards, suite.split).enough
        for suite in load.catalog.suites
        if suite.shards > 1 and (tests := load.tests.get(suite.name, ()))
    }
    yield Variant(name="only shards that shorten a suite", fleet=replace(base, shards=enough))
    double = {suite.name: 2 * suite.shards for suite in load.catalog.suites if suite.shards > 1}
    yield Variant(name="twice the shards", fleet=replace(base, shards=double))
