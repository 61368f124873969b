"""`nox -s envs`: show, diff and explain env sets and the environments that they make."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import is_secret
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError
from ci.facts.gather import discover_tests
from ci.plan.environment import Layer, Resolved, Setting, layers_for, resolve
from ci.plan.select import resolve_file
from ci.report.console import open_console
from ci.report.views.envs import show_environment, show_environment_differences, show_explanation
from ci.system.environ import read_environ

__all__ = ["envs"]

_USAGE = "nox -s envs -- show [NAME ...] | diff A B | explain VARIABLE   (add --json for machines)"


def envs(arguments: Sequence[str]) -> int:
    """Show what an environment is made of.

    A NAME is an env set, a suite or a registered test (a unique end of its path); several sets are layered in order.
    """
    parser = Parser(prog="nox -s envs --", usage=_USAGE)
    parser.add_argument("verb", nargs="?", default="show")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", action="store_true")
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    verbs = {"show": _show, "diff": _diff, "explain": _explain}
    if known.verb not in verbs:
        problems.append(
            Problem(where=known.verb, what="is not a verb of envs", hint=closest(known.verb, verbs))
        )
    if problems:
        raise UsageError("invalid options", problems=problems, then=_USAGE)
    return verbs[known.verb](load_catalog(), known.names, as_json=known.json)


def _show(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    """Without names: every set."""
    console = open_console(read_environ())
    wanted = [(name,) for name in catalog.env_sets] if not names else [tuple(names)]
    shown = {}
    for group in wanted:
        title = " + ".join(group)
        resolved = _environment(catalog, group)
        if as_json:
            shown[title] = {name: asdict(setting) for name, setting in resolved.settings.items()}
        else:
            show_environment(console, title, resolved, _secrets(catalog, resolved))
    if as_json:
        sys.stdout.write(json.dumps(shown, indent=1) + "\n")
    return 0


def _diff(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    if len(names) != 2:
        raise UsageError("diff compares two names", cause=f"{len(names)} given", then=_USAGE)
    left, right = (_environment(catalog, tuple(name.split("+"))) for name in names)
    rows = []
    for name in sorted(left.settings.keys() | right.settings.keys()):
        one, two = left.settings.get(name), right.settings.get(name)
        if one is None or two is None or one.value != two.value:
            rows.append((name, one, two))
    if as_json:
        data = [
            {"name": name, "left": one.value if one else None, "right": two.value if two else None}
            for name, one, two in rows
        ]
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    else:
        show_environment_differences(open_console(read_environ()), names[0], names[1], rows)
    return 0


def _explain(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    if len(names) != 1:
        raise UsageError("explain takes one variable", cause=f"{len(names)} given", then=_USAGE)
    name = names[0]
    settings: dict[str, Setting] = {}
    for suite in catalog.suites:
        setting = _suite_environment(catalog, suite.name).settings.get(name)
        if setting is not None:
            settings[suite.name] = setting
    passed = next(
        (
            row.why
            for row in catalog.pass_through
            if name in row.names or name.startswith(row.prefixes or ("\0",))
        ),
        "",
    )
    if not settings and not passed:
        everything = {variable.name for row in catalog.env_sets.values() for variable in row.variables}
        sets = [
            row.id
            for row in catalog.env_sets.values()
            if name in {variable.name for variable in row.variables}
        ]
        if not sets:
            raise UsageError(
                f"no set and no pass-through row names {name}", cause=closest(name, everything), then=_USAGE
            )
        settings = {set_id: _environment(catalog, (set_id,)).settings[name] for set_id in sets}
    if as_json:
        data = {
            "name": name,
            "passed_through": passed,
            "suites": {key: asdict(value) for key, value in settings.items()},
        }
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    else:
        show_explanation(open_console(read_environ()), name, settings, passed)
    return 0


def _secrets(catalog: Catalog, resolved: Resolved) -> set[str]:
    return {name for name in resolved.settings if is_secret(name, catalog.secrets)}


def _environment(catalog: Catalog, names: Sequence[str]) -> Resolved:
    """One suite's or test's environment, or sets layered in the order given."""
    if len(names) == 1 and any(names[0] == suite.name for suite in catalog.suites):
        return _suite_environment(catalog, names[0])
    if len(names) == 1 and names[0].endswith(".py"):
        return _test_environment(catalog, names[0])
    known = [*catalog.env_sets, *(suite.name for suite in catalog.suites)]
    problems = [
        Problem(where=name, what="is neither an env set nor a suite nor a test", hint=closest(name, known))
        for name in names
        if name not in catalog.env_sets
    ]
    if problems:
        raise UsageError("no such environment", problems=problems, then="nox -s envs -- show")
    return resolve([Layer(name=name, sets=(catalog.env_sets[name],)) for name in names], [])


def _test_environment(catalog: Catalog, name: str) -> Resolved:
    """A test's environment, by the path of its file.

    Raises:
        UsageError: no test or more than one is called so, or its suites give it different environments.
    """
    _, tests = discover_tests(catalog, "")
    files = {row.file for row in tests.registrations}
    found = resolve_file(name, files)
    if found is None:
        raise UsageError(f"unknown test {name}", cause=closest(name, files), then="nox -s check")
    suites = {row.suite for row in tests.registrations if row.file == found}
    ours = [suite.name for suite in catalog.suites if suite.name in suites]
    made = [_suite_environment(catalog, suite, test=found) for suite in ours]
    if not made or any(one.values != made[0].values for one in made):
        what = f"{found} has {len(made)} environments, one for each of its suites"
        cause = f"registered for {', '.join(sorted(suites))}"
        raise UsageError(what, cause=cause, then=f"nox -s plan -- STAGE --test {found}")
    return made[0]


def _suite_environment(catalog: Catalog, name: str, *, test: str = "") -> Resolved:
    suite = next(suite for suite in catalog.suites if suite.name == name)
    problems: list[Problem] = []
    resolved = resolve(layers_for(catalog, catalog.stage(suite.stage), suite, test=test), problems)
    if problems:
        raise UsageError("env sets disagree", problems=problems, then="nox -s check")
    return resolved
