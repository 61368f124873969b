"""`nox -s shards`: how evenly each suite is split, what blocks it, and how many shards are enough."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser, parse
from ci.errors import NothingSelectedError, Problem, UsageError
from ci.facts.gather import REPOSITORY, discover_tests
from ci.facts.tree.catalog import view_tree
from ci.plan.sharding import suite_shards
from ci.report.console import open_console, print_json
from ci.report.views.balance import balance_data, show_balance
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir

__all__ = ["shards", "shards_parser", "tests_and_catalog"]

_EXAMPLE = "nox -s shards -- --checkout ~/sglang --deadline 30"


def shards(arguments: Sequence[str]) -> int:
    """Show the longest shard of each suite, the lower bound, the file that blocks it, and what would make it shorter."""
    known = _read(arguments)
    root, catalog, tests = tests_and_catalog(load_catalog(), known.checkout)
    wanted = _suites(catalog, known.suite)
    fixed = {file for suite in catalog.suites for file in suite.files if (root / file).is_file()}
    deadline_s = None if known.deadline is None else 60 * known.deadline
    found = suite_shards(catalog, tests, fixed_files=fixed, suites=wanted, deadline_s=deadline_s)
    if not found:
        raise NothingSelectedError(
            "no test is registered for these suites", then="nox -s check" if not known.checkout else _EXAMPLE
        )
    if known.json:
        print_json(balance_data(found))
    else:
        show_balance(open_console(read_environ()), found, title=str(root), every=bool(wanted))
    return 0


def tests_and_catalog(catalog: Catalog, checkout: str) -> tuple[Path, Catalog, Discovery]:
    """The tree, the catalog as it follows the tree, and its AMD registrations; ours without a checkout.

    Raises:
        UsageError: it is not an SGLang tree.
    """
    if not checkout:
        return REPOSITORY, catalog, discover_tests(catalog, "")[1]
    view = view_tree(catalog, checkout, cache_dir(read_environ()))
    return Path(view.facts.root), view.catalog, view.tests


def shards_parser() -> Parser:
    """The options of `nox -s shards`."""
    parser = Parser(prog="nox -s shards --", description=shards.__doc__)
    add = parser.add_argument
    add("--checkout", default="", metavar="PATH", help="an SGLang tree; without it our own tests")
    add("--suite", action="append", default=[], metavar="S", help="only this suite: short id or full name")
    add("--deadline", default=None, metavar="MIN", help="fewest shards whose tests end in so many minutes")
    add("--json", action="store_true", help="everything, for machines")
    return parser


def _read(arguments: Sequence[str]) -> Any:
    """The options.

    Raises:
        UsageError: with every problem.
    """
    problems: list[Problem] = []
    known = parse(shards_parser(), arguments, problems)
    if known.deadline is not None:
        try:
            known.deadline = float(known.deadline)
        except ValueError:
            known.deadline = math.nan
        if not 0 < known.deadline < math.inf:
            problems.append(Problem(where="--deadline", what="is not a number of minutes", hint="e.g. 30"))
    if problems:
        raise UsageError("invalid options", problems=problems, then=_EXAMPLE)
    return known


def _suites(catalog: Catalog, names: Sequence[str]) -> set[str]:
    """The full names of the suites.

    Raises:
        UsageError: with every unknown one.
    """
    every = sorted({name for suite in catalog.suites for name in (suite.id, suite.name)})
    unknown = [name for name in names if name not in every]
    if unknown:
        raise UsageError(
            "unknown suites",
            problems=[
                Problem(where="--suite", what=f"unknown suite {name!r}", hint=closest(name, every))
                for name in unknown
            ],
            then="nox -l",
        )
    return {suite.name for suite in catalog.suites if suite.id in names or suite.name in names}
