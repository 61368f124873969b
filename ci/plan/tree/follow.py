"""Our catalog with a checkout's own facts over its rows."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ci.catalog.catalog import Catalog, Followed
from ci.catalog.discovery import DiscoveryRules, Root
from ci.catalog.registrations.parse import Registration
from ci.plan.tree.model import Registry, TreeFacts
from ci.plan.tree.suites import TreeSuite, suites_of_tree

__all__ = ["discovery_of_tree", "follow_tree"]

_TREE = "sglang"


def discovery_of_tree(rules: DiscoveryRules, registry: Registry) -> DiscoveryRules:
    """The rules by which the tree's own runner collects tests; ours where the tree does not say."""
    registrars = {row.name: row.backend for row in registry.registrars} or rules.registrars
    roots = tuple(
        Root(
            id=root.path,
            tree=_TREE,
            path=root.path,
            glob=root.glob,
            # a folder around another one is searched for those that are registered alone
            must_register=not any(other.path.startswith(f"{root.path}/") for other in registry.roots),
            why="the checkout's own runner looks here",
            source=root.source,
        )
        for root in registry.roots
    )
    if not roots:
        return replace(rules, registrars=registrars)
    others = tuple(root for root in rules.roots if root.tree != _TREE)
    exempt = tuple(row.value for row in registry.exempt)
    return replace(rules, registrars=registrars, roots=(*others, *roots), exempt=exempt)


def follow_tree(catalog: Catalog, tree: TreeFacts, registered: Iterable[Registration]) -> Catalog:
    """The catalog with the tree's suites in the place of ours, those that only the tree has behind them."""
    found = suites_of_tree(catalog, tree, registered)
    by_name = {suite.row.name: suite for suite in found}
    suites = [by_name.pop(suite.name).row if suite.name in by_name else suite for suite in catalog.suites]
    suites += [suite.row for suite in by_name.values()]
    return replace(
        catalog,
        suites=tuple(suites),
        discovery=discovery_of_tree(catalog.discovery, tree.registry),
        env_sets={
            **catalog.env_sets,
            **{suite.env.id: suite.env for suite in found if suite.env is not None},
        },
        followed=_followed(found),
    )


def _followed(suites: Iterable[TreeSuite]) -> Mapping[str, Followed]:
    return {suite.row.name: Followed(label=suite.label, sources=suite.sources) for suite in suites}
