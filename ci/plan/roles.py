"""The roles of suites: what their servers are, and where they are."""

from collections.abc import Iterable, Mapping

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Suite
from ci.plan.facts import Facts
from ci.plan.model import RolePlace, RoleWork, SuiteWork

__all__ = ["DISAGGREGATION", "homes_of", "places_of", "roles_of"]

# what an engine has to be able to do to be in a role
DISAGGREGATION = "disaggregation"


def roles_of(catalog: Catalog, facts: Facts, suite: Suite, engine: str) -> tuple[RoleWork, ...]:
    """Those of a suite, in the catalog's order; none for a checkout, whose tests start their servers themselves.

    Where the engine cannot be in a role none is started, and the tests skip themselves with that reason.
    """
    service = catalog.engines[engine].services[facts.hardware_class]
    if facts.checkout is not None or DISAGGREGATION not in service.features:
        return ()
    return tuple(
        RoleWork(
            role=row.role,
            model=row.model,
            gpus=row.gpus,
            args=row.args,
            ready=row.ready,
            ready_s=row.ready_s or service.launch_s,
        )
        for row in catalog.roles_of(suite.name)
    )


def homes_of(places: Iterable[RolePlace]) -> Mapping[str, int]:
    """The node on which the tests run of each suite whose roles are on several: that of the role that starts last."""
    by_suite: dict[str, list[RolePlace]] = {}
    for place in places:
        by_suite.setdefault(place.suite, []).append(place)
    return {
        suite: max(found, key=lambda place: place.role.kind.order).node
        for suite, found in by_suite.items()
        if len({place.node for place in found}) > 1
    }


def places_of(catalog: Catalog, suites: Iterable[SuiteWork], *, nodes: int) -> tuple[RolePlace, ...]:
    """Where their roles are in a run on so many nodes: a role of a node that the run does not have is on the last."""
    return tuple(
        RolePlace(suite=suite.id, role=row.role, node=min(row.node, nodes), ports=row.ports)
        for suite in suites
        if suite.roles
        for row in catalog.roles_of(suite.name)
    )
