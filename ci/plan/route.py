"""Which runner a suite's jobs go to: the routing row in force, the event, and the requested pool."""

from ci.catalog.catalog import Catalog
from ci.catalog.runners import Label
from ci.catalog.stages import Suite
from ci.errors import Problem, UsageError

__all__ = ["check_routes", "label_of", "label_source", "pools_with_a_choice"]

_DEFAULT_EVENT = "pull_request"


def label_of(catalog: Catalog, suite: Suite, event: str, *, pool: str = "") -> Label:
    """The runner label of a suite for an event; an event that no row names is routed as a pull request.

    A suite that follows a checkout has the label that its job has there.

    Args:
        catalog: for routing, labels and pools.
        suite: whose family, GPUs and fabric the label has to fit.
        event: GitHub's name of it.
        pool: requested explicitly; only suites of its family go there. Empty: as the event is routed.

    Raises:
        UsageError: the pool has no such label.
    """
    followed = catalog.followed.get(suite.name)
    if followed is not None and followed.label and not pool:
        known = next((row for row in catalog.labels if row.label == followed.label), None)
        return known or Label(label=followed.label, pool="", gpus=suite.gpus, fabric=suite.fabric)
    found = _find(catalog, suite, event, pool)
    if isinstance(found, Label):
        return found
    raise UsageError(
        f"no runner for {suite.name}",
        problems=[found],
        cause="a pool, a label or a routing was edited",
        then="fix ci/catalog/runners.toml, then: nox -s check",
    )


def label_source(catalog: Catalog, suite: Suite) -> str:
    """Where a suite's runner label comes from: the checkout that it follows, else the routing in force."""
    followed = catalog.followed.get(suite.name)
    if followed is not None and followed.label:
        return catalog.source_of(suite, "family")
    return next(
        f"runners.toml: routing[{row.id}]"
        for row in catalog.routings
        if row.family == suite.family and row.in_force
    )


def check_routes(catalog: Catalog) -> list[Problem]:
    """Every suite that has no runner for an event, or in a pool that can be requested, with the row to fix."""
    choices = ("", *pools_with_a_choice(catalog))
    events = dict.fromkeys(event for row in catalog.routings for event in row.pool_by_event)
    found = (
        _find(catalog, suite, event, pool) for suite in catalog.suites for event in events for pool in choices
    )
    return list(dict.fromkeys(one for one in found if isinstance(one, Problem)))


def pools_with_a_choice(catalog: Catalog) -> tuple[str, ...]:
    """Pools that can be requested: those of a hardware family that has more than one."""
    family = {pool.id: catalog.family_of(pool.hardware) for pool in catalog.pools.values()}
    return tuple(pool for pool, mine in family.items() if list(family.values()).count(mine) > 1)


def _find(catalog: Catalog, suite: Suite, event: str, asked: str) -> Label | Problem:
    routing = next(row for row in catalog.routings if row.family == suite.family and row.in_force)
    event = event if event in routing.pool_by_event else _DEFAULT_EVENT
    pool, why = routing.pool_by_event[event], f"sends {event} to pool"
    by_hand = bool(asked) and catalog.family_of(catalog.pools[asked].hardware) == suite.family
    if by_hand:
        pool, why = asked, "may be requested: pool"
    for row in catalog.labels:
        if (row.pool, row.gpus, row.fabric) == (pool, suite.gpus, suite.fabric):
            return row
    need = f"{suite.gpus} GPU{'s' if suite.gpus > 1 else ''}{' with a fabric' if suite.fabric else ''}"
    fabric = ", fabric = true" if suite.fabric else ""
    return Problem(
        where=catalog.where(catalog.pools[pool] if by_hand else routing),
        what=f"{why} {pool!r}, which has no label for {need}; {suite.name} needs one",
        hint=f'add [[label]] with pool = "{pool}", gpus = {suite.gpus}{fabric}',
    )
