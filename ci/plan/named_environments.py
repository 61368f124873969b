"""Environments by name: of env sets, of a suite, of a registered test; and where one variable is set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.errors import Problem, UsageError
from ci.plan.environment import Layer, Resolved, Setting, layers_for, resolve
from ci.plan.select import resolve_file

__all__ = ["Explained", "differences", "explain", "named_environment", "with_common"]

_COMMON = "COMMON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Where a variable comes from.

    `settings` are by suite, by env set when no suite has it. `passed_through` is why the caller's value reaches the tests,
    empty when it does not.
    """

    settings: Mapping[str, Setting]
    passed_through: str


def named_environment(catalog: Catalog, names: Sequence[str], discover: Callable[[], Discovery]) -> Resolved:
    """One suite's or test's environment, or sets layered in the order given.

    A suite is named in full or by its short id. A test is named by the path of its file or a unique end of it; only then is `discover` called.

    Raises:
        UsageError: a name is unknown, or a test's suites give it different environments.
    """
    if len(names) == 1 and any(names[0] in (suite.name, suite.id) for suite in catalog.suites):
        return _of_suites(catalog, names[0])
    if len(names) == 1 and names[0].endswith(".py"):
        return _of_test(catalog, names[0], discover())
    known = [*catalog.env_sets, *(name for suite in catalog.suites for name in (suite.name, suite.id))]
    problems = [
        Problem(where=name, what="is not an env set, a suite, a test or a file", hint=closest(name, known))
        for name in names
        if name not in catalog.env_sets
    ]
    if problems:
        raise UsageError("unknown environment", problems=problems, then="nox -s envs -- show")
    return resolve([Layer(name=name, sets=(catalog.env_sets[name],)) for name in names], [])


def with_common(catalog: Catalog, names: Sequence[str]) -> tuple[str, ...]:
    """A set as its tests have it: above the sets of its file that are common to all, `[COMMON...]`."""
    if len(names) != 1 or names[0] not in catalog.env_sets:
        return tuple(names)
    prefix = f"{names[0].partition('.')[0]}.{_COMMON}"
    return tuple(dict.fromkeys([*(name for name in catalog.env_sets if name.startswith(prefix)), *names]))


def differences(
    left: Resolved, right: Resolved, same: Callable[[str, str, str], bool]
) -> list[tuple[str, Setting | None, Setting | None]]:
    """The variables in which two environments differ, None where one has none.

    `same` tells whether two texts of a variable, by its name, are the same to what reads it.
    """
    names = sorted(left.settings.keys() | right.settings.keys())
    rows = [(name, left.settings.get(name), right.settings.get(name)) for name in names]
    return [
        (name, one, two)
        for name, one, two in rows
        if one is None or two is None or not same(name, one.value, two.value)
    ]


def explain(catalog: Catalog, name: str) -> Explained:
    """Where a variable comes from in each suite that has it.

    Raises:
        UsageError: nothing sets it and nothing passes it through.
    """
    found = {suite.name: _of_suite(catalog, suite.name).settings.get(name) for suite in catalog.suites}
    settings = {suite: setting for suite, setting in found.items() if setting is not None}
    passed = next(
        (
            row.why
            for row in catalog.pass_through
            if name in row.names or name.startswith(row.prefixes or ("\0",))
        ),
        "",
    )
    if not settings and not passed:
        sets = {
            row.id: setting
            for row in catalog.env_sets.values()
            if (setting := resolve([Layer(name=row.id, sets=(row,))], []).settings.get(name)) is not None
        }
        if not sets:
            known = {variable.name for row in catalog.env_sets.values() for variable in row.variables}
            raise UsageError(
                f"no env set and no pass-through row has {name}",
                cause=closest(name, known),
                then="nox -s envs -- show",
            )
        settings = sets
    return Explained(settings=settings, passed_through=passed)


def _of_test(catalog: Catalog, name: str, tests: Discovery) -> Resolved:
    files = {row.file for row in tests.registrations}
    found = resolve_file(name, files)
    if found is None:
        raise UsageError(f"unknown test {name}", cause=closest(name, files), then="nox -s check")
    suites = {row.suite for row in tests.registrations if row.file == found}
    made = [_of_suite(catalog, suite.name, test=found) for suite in catalog.suites if suite.name in suites]
    if not made or any(one.values != made[0].values for one in made):
        what = f"{found} has {len(made)} environments, one for each of its suites"
        cause = f"registered for {', '.join(sorted(suites))}"
        raise UsageError(what, cause=cause, then=f"nox -s plan -- STAGE --test {found}")
    return made[0]


def _of_suites(catalog: Catalog, name: str) -> Resolved:
    """By full name or short id; several stages may have the id, if their suites have the same environment."""
    found = [suite.name for suite in catalog.suites if name in (suite.name, suite.id)]
    made = [_of_suite(catalog, each) for each in found]
    if any(one.values != made[0].values for one in made):
        cause = f"the suites of that short id: {', '.join(found)}"
        raise UsageError(
            f"{name} names {len(found)} environments", cause=cause, then=f"nox -s envs -- show {found[0]}"
        )
    return made[0]


def _of_suite(catalog: Catalog, name: str, *, test: str = "") -> Resolved:
    suite = next(suite for suite in catalog.suites if suite.name == name)
    problems: list[Problem] = []
    resolved = resolve(layers_for(catalog, catalog.stage(suite.stage), suite, test=test), problems)
    if problems:
        raise UsageError("env sets disagree", problems=problems, then="nox -s check")
    return resolved
