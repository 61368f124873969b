"""What the registrations and the catalog say of each other."""

from ci.catalog.load import Catalog
from ci.catalog.registered import Discovery
from ci.errors import Problem

__all__ = ["check_registrations"]


def check_registrations(
    catalog: Catalog, tests: Discovery, *, own: bool, problems: list[Problem]
) -> list[str]:
    """Compare suites with registrations; notes for what only a reader can judge.

    In our own tree a registration for a suite that no stage runs is a problem: the test would never run. In an SGLang
    tree, whose other nightly suites are not in the catalog, it is a note with a count.
    """
    names = {suite.name: suite for suite in catalog.suites}
    notes: list[str] = []
    enabled = [row for row in tests.registrations if row.disabled is None]
    orphans: dict[str, list[str]] = {}
    for row in enabled:
        suite = names.get(row.suite)
        if suite is None:
            orphans.setdefault(row.suite, []).append(f"{row.file}:{row.line}")
        elif suite.nightly != row.nightly:
            what = f"is registered with nightly={row.nightly}, suite {row.suite} has nightly = {str(suite.nightly).lower()}"
            problem = Problem(where=f"{row.file}:{row.line}", what=what, hint="it would never be selected")
            if own:
                problems.append(problem)
            else:
                notes.append(str(problem))
    for name, places in sorted(orphans.items()):
        if own:
            problems += [
                Problem(where=place, what=f"no stage runs suite {name!r}", hint="nox -l lists the suites")
                for place in places
            ]
        else:
            notes.append(f"no stage here runs {name}: {len(places)} files, e.g. {places[0]}")
    if own:
        files = {row.file for row in tests.registrations}
        for bound in catalog.bounds:
            if bound.test not in files:
                where = f"catalog/bounds.toml: {bound.test}"
                problems.append(
                    Problem(
                        where=where, what="no such registered test", hint="remove the row or mend the path"
                    )
                )
    for suite in catalog.suites:
        count = sum(1 for row in enabled if row.suite == suite.name)
        if suite.files:
            continue
        if count == 0:
            notes.append(f"{suite.name}: no test is registered for it")
        elif count < suite.shards:
            notes.append(f"{suite.name}: {suite.shards} shards for {count} tests")
    return notes
