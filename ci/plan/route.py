"""Which runner a suite's jobs go to: the routing row in force, the event, and the pool that somebody asked for."""

from ci.catalog.catalog import Catalog
from ci.catalog.records import Label, Suite

__all__ = ["label_of", "pools_with_a_choice"]


def label_of(catalog: Catalog, suite: Suite, event: str, *, pool: str = "") -> Label:
    """The runner label of a suite for an event; an event that no row names is routed as a pull request.

    Args:
        catalog: for routing, labels and pools.
        suite: whose family, GPUs and fabric the label has to fit.
        event: GitHub's name of it.
        pool: asked for by hand; only suites of its family go there. Empty: as the event is routed.
    """
    routing = next(row for row in catalog.routings if row.family == suite.family and row.in_force)
    routed = routing.pool_by_event.get(event, routing.pool_by_event["pull_request"])
    if pool and catalog.family_of(catalog.pools[pool].hardware) == suite.family:
        routed = pool
    return next(
        row
        for row in catalog.labels
        if row.pool == routed and row.gpus == suite.gpus and row.fabric == suite.fabric
    )


def pools_with_a_choice(catalog: Catalog) -> tuple[str, ...]:
    """Pools that somebody can ask for: those of a hardware family that has more than one."""
    family = {pool.id: catalog.family_of(pool.hardware) for pool in catalog.pools.values()}
    return tuple(pool for pool, mine in family.items() if list(family.values()).count(mine) > 1)
