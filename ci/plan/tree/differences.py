"""What differs between our rows and a checkout's own facts, suite by suite."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ci.catalog.catalog import Catalog
from ci.catalog.discovery import DiscoveryRules
from ci.catalog.stages import Suite
from ci.plan.tree.model import Registry, TreeFacts
from ci.plan.tree.suites import TreeSuite

__all__ = [
    "COLUMNS",
    "Difference",
    "column_value",
    "differences_of",
    "new_suites",
    "registry_differences",
    "unrun",
]

# what a row of ours says that a checkout says as well: the column in the file, and the field
COLUMNS: Final[Mapping[str, str]] = {
    "family": "family",
    "gpus": "gpus",
    "fabric": "fabric",
    "shards": "shards",
    "timeout_min": "timeout_s",
    "timeout_per_file_s": "timeout_per_file_s",
    "nightly": "nightly",
    "rocm": "rocm",
    "files": "files",
    "attempts": "attempts",
    "retry_wait_s": "retry_wait_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value of a suite's row that the checkout has otherwise; `source` is the place in it."""

    suite: str
    column: str
    ours: Any
    theirs: Any
    source: str


def column_value(suite: Suite, column: str) -> Any:
    """A value as the file has it: minutes where the column is in minutes."""
    value = getattr(suite, COLUMNS[column])
    if column == "timeout_min":
        value = value / 60
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def differences_of(suites: Sequence[TreeSuite]) -> Iterator[Difference]:
    """Every value that differs, in the order of our rows."""
    for suite in suites:
        if suite.ours is None:
            continue
        for column, field in COLUMNS.items():
            ours, theirs = column_value(suite.ours, column), column_value(suite.row, column)
            if not _same(ours, theirs) and not _says_nothing(suite, column):
                yield Difference(
                    suite=suite.row.name,
                    column=column,
                    ours=ours,
                    theirs=theirs,
                    source=suite.sources.get(field, suite.row.source),
                )


def _same(ours: Any, theirs: Any) -> bool:
    """Whether they mean the same: files run longest first, in whatever order they are written."""
    return sorted(ours) == sorted(theirs) if isinstance(ours, list) else bool(ours == theirs)


def _says_nothing(suite: TreeSuite, column: str) -> bool:
    """Without a second attempt there is no wait before it."""
    return column == "retry_wait_s" and suite.row.attempts == 1


def new_suites(suites: Sequence[TreeSuite]) -> tuple[TreeSuite, ...]:
    """Suites that a job of the checkout runs and for which we have no row."""
    return tuple(suite for suite in suites if suite.ours is None and suite.lane is not None)


def unrun(catalog: Catalog, suites: Sequence[TreeSuite]) -> tuple[Suite, ...]:
    """Our suites that no job of the checkout runs."""
    run = {suite.row.name for suite in suites}
    return tuple(suite for suite in catalog.suites if suite.name not in run)


def registry_differences(rules: DiscoveryRules, tree: TreeFacts) -> Iterator[Difference]:
    """Registrars and roots of the checkout that our rows do not have, and the other way round."""
    yield from _sets("registrar", rules.registrars, _registrars(tree.registry))
    ours = {f"{root.path}/**/{root.glob}": root.source for root in rules.roots if root.tree == "sglang"}
    theirs = {f"{root.path}/**/{root.glob}": root.source for root in tree.registry.roots}
    yield from _sets("root", ours, theirs)


def _registrars(registry: Registry) -> Mapping[str, str]:
    return {row.name: row.source for row in registry.registrars}


def _sets(column: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Difference]:
    if not theirs:  # it could not be read, which is said elsewhere
        return
    for name in dict.fromkeys((*ours, *theirs)):
        if (name in ours) is not (name in theirs):
            yield Difference(
                suite="",
                column=column,
                ours=name if name in ours else "",
                theirs=name if name in theirs else "",
                source=theirs.get(name, "discovery.toml"),
            )
