"""`nox -s envs`: show, diff and explain env sets and the environments that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import is_secret
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError
from ci.facts.gather import discover_tests
from ci.facts.scripts.read import is_script, read_script, title_of
from ci.facts.sglang.gather import gather_variables
from ci.facts.sglang.tree import find_checkout
from ci.plan.contract.meaning import same_meaning
from ci.plan.contract.sglang import VariableFact
from ci.plan.environment import Resolved, Setting
from ci.plan.named_environments import differences, explain, named_environment, with_common
from ci.report.console import open_console, print_json, say
from ci.report.views.envs import (
    HIDDEN,
    show_environment,
    show_environment_differences,
    show_explanation,
    shown_value,
)
from ci.system.environ import read_environ

__all__ = ["envs", "envs_parser"]

_USAGE = "nox -s envs -- show [NAME ...] | diff A B [--checkout PATH] | explain VARIABLE   (add --json for machines)"


def envs_parser() -> Parser:
    """The options of `nox -s envs`."""
    parser = Parser(prog="nox -s envs --", usage=_USAGE)
    add = parser.add_argument
    add("verb", nargs="?", default="show", metavar="VERB", help="show (the default), diff or explain")
    add(
        "names",
        nargs="*",
        metavar="NAME",
        help="sets, suites, tests, scripts or command lines; for explain a variable",
    )
    add("--checkout", default="", metavar="PATH", help="with diff: values as this SGLang tree reads them")
    add("--json", action="store_true", help="everything, for machines")
    return parser


def envs(arguments: Sequence[str]) -> int:
    """Show what an environment is made of.

    A NAME is an env set, a suite, a registered test (a unique end of its path), or a file: a launch script, which is read
    and never run, or KEY=VALUE lines; or a command line of docker. Several sets are layered in order. In `diff`, values that
    are the same to their reader do not differ: with `--checkout` to that of an SGLang tree, else `0` and `false`.
    """
    parser = envs_parser()
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    verbs = {"show": _show, "explain": _explain}
    if known.verb not in (*verbs, "diff"):
        problems.append(
            Problem(
                where=known.verb,
                what="is not show, diff or explain",
                hint=closest(known.verb, (*verbs, "diff")),
            )
        )
    if problems:
        raise UsageError("invalid options", problems=problems, then=_USAGE)
    if known.checkout and known.verb != "diff":
        raise UsageError(f"{known.verb} takes no --checkout", then=_USAGE)
    catalog = load_catalog()
    if known.verb == "diff":
        return _diff(catalog, known.names, checkout=known.checkout, as_json=known.json)
    return verbs[known.verb](catalog, known.names, as_json=known.json)


def _show(catalog: Catalog, names: Sequence[str], *, as_json: bool) -> int:
    """Without names: every set."""
    wanted = [tuple(names)] if names else [(name,) for name in catalog.env_sets]
    notes: list[str] = []
    shown = {" + ".join(map(title_of, group)): _environment(catalog, group, notes) for group in wanted}
    for note in notes:
        say(f"note: {note}")
    if as_json:
        hidden = {title: _hide(resolved.settings, catalog) for title, resolved in shown.items()}
        _print({title: _data(settings) for title, settings in hidden.items()})
        return 0
    console = open_console(read_environ())
    for title, resolved in shown.items():
        secrets = {name for name in resolved.settings if is_secret(name, catalog.secrets)}
        show_environment(console, title, resolved, secrets)
    return 0


def _diff(catalog: Catalog, names: Sequence[str], *, checkout: str, as_json: bool) -> int:
    if len(names) != 2:
        raise UsageError("diff compares two names", cause=f"{len(names)} given", then=_USAGE)
    notes: list[str] = []
    layers = [_layers(name) for name in names]
    if any(is_script(name) for name in names):
        layers = [with_common(catalog, each) for each in layers]
        notes += [
            f"{name} is taken as tests have it: {'+'.join(each)}"
            for name, each in zip(names, layers, strict=True)
            if name != "+".join(each)
        ]
    left, right = (_environment(catalog, each, notes) for each in layers)
    facts = _readers(catalog, checkout, left, right) if checkout else {}
    rows = differences(left, right, lambda name, one, two: same_meaning(one, two, facts.get(name)))
    secrets = {name for name, _, _ in rows if is_secret(name, catalog.secrets)}
    if as_json:
        _print(
            [
                {
                    "name": name,
                    "left": shown_value(one, secrets) if one else None,
                    "right": shown_value(two, secrets) if two else None,
                }
                for name, one, two in rows
            ]
        )
    else:
        console = open_console(read_environ())
        alike = sum(
            setting.value != right.settings[name].value
            for name, setting in left.settings.items()
            if name in right.settings and name not in {row[0] for row in rows}
        )
        one, two = map(title_of, names)
        show_environment_differences(console, one, two, rows, secrets, alike=alike)
    for note in notes:
        say(f"note: {note}")
    return 0


def _layers(name: str) -> tuple[str, ...]:
    """`A+B` are two sets, unless it is a file's name."""
    return (name,) if is_script(name) else tuple(name.split("+"))


def _readers(catalog: Catalog, checkout: str, left: Resolved, right: Resolved) -> Mapping[str, VariableFact]:
    """What an SGLang tree says of the variables that both have with other texts."""
    values = {
        name: (setting.value, right.settings[name].value)
        for name, setting in left.settings.items()
        if name in right.settings and setting.value != right.settings[name].value
    }
    return gather_variables(find_checkout(checkout, catalog.discovery), values) if values else {}


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


def _environment(catalog: Catalog, names: Sequence[str], notes: list[str]) -> Resolved:
    if len(names) == 1 and is_script(names[0]):
        return read_script(names[0], notes)
    return named_environment(catalog, names, lambda: discover_tests(catalog, "")[1])


def _hide(settings: Mapping[str, Setting], catalog: Catalog) -> Mapping[str, Setting]:
    """A script may hold secrets; our rows never do."""
    return {
        name: replace(setting, value=HIDDEN) if is_secret(name, catalog.secrets) else setting
        for name, setting in settings.items()
    }


def _data(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: asdict(setting) for name, setting in settings.items()}


def _print(data: object) -> None:
    print_json(data)
