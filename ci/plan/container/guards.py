"""What protected distributions were before and after: which changes are violations, and their messages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.guards import Guards
from ci.errors import GuardError, Problem
from ci.plan.container.work import GuardWork, ProbeWork

__all__ = ["Change", "Fingerprint", "Probed", "compare", "guards_of", "probe_error", "violation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A protected distribution as it is; everything is empty when it is not installed.

    `record` is a digest of the installed files' hashes, `location` where its metadata is, `imported` the file that its
    module comes from, by start directory. `shadowed` names the start directories from which the module is a namespace
    package, with the folder that is taken for it.
    """

    distribution: str
    version: str
    record: str
    location: str
    imported: Mapping[str, str]
    shadowed: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of a protected distribution that is another than before."""

    distribution: str
    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How one name was imported from one directory; `problem` is empty when it was, `file` is where it came from.

    `shadowed_by` is the folder that was taken for the package as an empty namespace, `real` where the package is.
    """

    name: str
    cwd: str
    problem: str
    file: str
    shadowed_by: str
    real: str


def guards_of(rows: Guards, *, flavour: str) -> GuardWork:
    """What a plan says about the guards."""
    return GuardWork(
        protected={row.distribution: row.module for row in rows.protected},
        starts=tuple(row.cwd for row in rows.starts),
        probes={
            row.name: ProbeWork(
                distribution=row.distribution, required=flavour in row.required_in, fix=row.fix
            )
            for row in rows.probes
        },
    )


def compare(
    before: Sequence[Fingerprint], after: Sequence[Fingerprint], announced: Collection[str]
) -> tuple[Change, ...]:
    """Every change that was not announced, in the order of the rows.

    A module that is newly shadowed by a namespace package is a change whatever was announced: nothing can want that.
    """
    old = {row.distribution: row for row in before}
    found = []
    for row in after:
        was = old.get(row.distribution)
        if was is None:
            continue
        if row.distribution not in announced:
            found += [
                Change(distribution=row.distribution, field=name, before=one, after=two)
                for name, one, two in _fields(was, row)
                if one != two
            ]
        found += [
            Change(
                distribution=row.distribution,
                field=f"import from {cwd}",
                before=was.imported.get(cwd) or "not found",
                after=f"empty namespace package {folder}",
            )
            for cwd, folder in row.shadowed.items()
            if cwd not in was.shadowed
        ]
    return tuple(found)


def _fields(was: Fingerprint, now: Fingerprint) -> list[tuple[str, str, str]]:
    rows = [
        ("version", was.version or "not installed", now.version or "not installed"),
        ("files", was.record or "no record", now.record or "no record"),
        ("location", was.location or "nowhere", now.location or "nowhere"),
    ]
    for cwd in sorted({*was.imported, *now.imported} - {*now.shadowed}):
        one, two = was.imported.get(cwd, ""), now.imported.get(cwd, "")
        rows.append((f"import from {cwd}", one or "not found", two or "not found"))
    return rows


def violation(changes: Sequence[Change], *, step: str, then: str) -> GuardError:
    """The error about changes that `step` made, one line each with before and after."""
    names = ", ".join(dict.fromkeys(change.distribution for change in changes))
    shadowed = any("namespace" in change.after for change in changes)
    cause = (
        "a folder of that name is where Python looks first, and the package was installed so that it is found later"
        if shadowed
        else f"the step did not announce that it changes {names}"
    )
    problems = [
        Problem(where=change.distribution, what=f"{change.field}: {change.before} -> {change.after}")
        for change in changes
    ]
    return GuardError(f"{step} changed {names}", cause=cause, then=then, problems=problems)


def probe_error(failed: Sequence[Probed], fixes: Mapping[str, str]) -> GuardError:
    """The error about names that cannot be imported as they have to be; one line for each name and directory."""
    problems = []
    for row in failed:
        what = f"from {row.cwd}: {row.problem}"
        if row.shadowed_by:
            what += f"; the folder {row.shadowed_by} was taken for the package, as an empty namespace"
        if row.real:
            what += f"; the package itself is {row.real}"
        problems.append(Problem(where=row.name, what=what, hint=fixes.get(row.name, "")))
    names = ", ".join(dict.fromkeys(row.name for row in failed))
    shadowed = any(row.shadowed_by for row in failed)
    return GuardError(
        f"cannot import {names} from where servers and tests start",
        cause="a folder shadows the package" if shadowed else "it is not installed, or broken",
        then=next((fixes[row.name] for row in failed if row.name in fixes), ""),
        problems=problems,
    )
