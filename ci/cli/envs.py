"""`nox -s envs`: show, diff and explain env sets and the environments that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import is_secret
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError
from ci.facts.gather import discover_tests
from ci.plan.environment import Resolved, Setting
from ci.plan.named_environments import differences, explain, named_environment
from ci.report.console import open_console, print_json
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
            Problem(where=known.verb, what="is not show, diff or explain", hint=closest(known.verb, verbs))
        )
    if problems:
        raise UsageError("invalid options", problems=problems, then=_USAGE)
    return verbs[known.verb](load_catalog(), known.names, as_json=known.json)


def _show(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    """Without names: every set."""
    wanted = [tuple(names)] if names else [(name,) for name in catalog.env_sets]
    shown = {" + ".join(group): _environment(catalog, group) for group in wanted}
    if as_json:
        _print({title: _data(resolved.settings) for title, resolved in shown.items()})
        return 0
    console = open_console(read_environ())
    for title, resolved in shown.items():
        secrets = {name for name in resolved.settings if is_secret(name, catalog.secrets)}
        show_environment(console, title, resolved, secrets)
    return 0


def _diff(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    if len(names) != 2:
        raise UsageError("diff compares two names", cause=f"{len(names)} given", then=_USAGE)
    left, right = (_environment(catalog, tuple(name.split("+"))) for name in names)
    rows = differences(left, right)
    if as_json:
        _print(
            [
                {"name": name, "left": one.value if one else None, "right": two.value if two else None}
                for name, one, two in rows
            ]
        )
    else:
        show_environment_differences(open_console(read_environ()), names[0], names[1], rows)
    return 0


def _explain(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    if len(names) != 1:
        raise UsageError("explain takes one variable", cause=f"{len(names)} given", then=_USAGE)
    (name,) = names
    found = explain(catalog, name)
    if as_json:
        _print({"name": name, "passed_through": found.passed_through, "suites": _data(found.settings)})
    else:
        show_explanation(open_console(read_environ()), name, found.settings, found.passed_through)
    return 0


def _environment(catalog: Catalog, names: Sequence[str]) -> Resolved:
    return named_environment(catalog, names, lambda: discover_tests(catalog, "")[1])


def _data(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: asdict(setting) for name, setting in settings.items()}


def _print(data: object) -> None:
    print_json(data)
