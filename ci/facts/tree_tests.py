"""The tests of a tree, whatever hardware this machine has: what jobs are made from."""

from collections.abc import Mapping

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.errors import UsageError
from ci.facts.gather import Place, gather_machine
from ci.plan.facts import Facts
from ci.plan.request import Request

__all__ = ["tree_facts"]


def tree_facts(catalog: Catalog, checkout: str, environ: Mapping[str, str]) -> Facts:
    """The tree's tests; hardware and engine play no part, so none is looked for.

    Raises:
        UsageError: the checkout is not SGLang's, or a registration of our own is invalid.
    """
    hardware = next(iter(catalog.pools.values())).hardware
    # where they run plays no part either: no registry and no engine is asked
    request = Request(
        stage=catalog.stages[0].id, hardware=hardware, executor=ExecutorKind.HOST, compared=True
    )
    facts = gather_machine(
        catalog, request, Place(checkout=checkout, planning_only=True, names_only=True), environ
    )
    if facts.tests.problems and not checkout:
        raise UsageError(
            "cannot read the registered tests",
            problems=facts.tests.problems,
            then="nox -s check",
        )
    return facts
