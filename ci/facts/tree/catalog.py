"""The catalog for a checkout: read what the tree says, and follow it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.facts.tree.kept import discover_kept, read_checkout
from ci.plan.tree.follow import follow_tree
from ci.plan.tree.model import TreeFacts

__all__ = ["TreeView", "catalog_for", "view_tree"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeView:
    """A checkout's own facts, its AMD registrations, and our catalog as it follows both."""

    facts: TreeFacts
    tests: Discovery
    catalog: Catalog


def view_tree(catalog: Catalog, checkout: str, cache: Path | None = None) -> TreeView:
    """Look at an SGLang checkout; with a `cache`, what of it has not changed is not read again.

    Raises:
        UsageError: it is not one.
    """
    root, facts, rules = read_checkout(catalog, checkout, cache)
    tests = discover_kept(root, rules, cache, backends=("amd",))
    followed = follow_tree(replace(catalog, discovery=rules), facts, tests.registrations)
    return TreeView(facts=facts, tests=tests, catalog=followed)


def catalog_for(catalog: Catalog, checkout: str, cache: Path | None = None) -> Catalog:
    """The catalog that holds for a checkout; ours as it is without one.

    Raises:
        UsageError: the checkout is not SGLang's.
    """
    return view_tree(catalog, checkout, cache).catalog if checkout else catalog
