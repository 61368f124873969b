"""`nox -s tree`: what an SGLang checkout says of its own CI, and how our rows follow it."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ci.catalog.catalog import load_catalog
from ci.catalog.edit_rows import add_row, edit_row
from ci.catalog.toml_reader import CATALOG_DIR
from ci.cli.options import Parser
from ci.errors import Problem, UsageError, writing
from ci.facts.git import commit_of
from ci.facts.tree.catalog import TreeView, view_tree
from ci.plan.tree.differences import (
    COLUMNS,
    Difference,
    column_value,
    differences_of,
    new_suites,
    registry_differences,
    unrun,
)
from ci.plan.tree.suites import TreeSuite, suites_of_tree
from ci.report.console import open_console, print_json, say
from ci.report.views.tree import show_differences, show_names, show_tree, tree_data
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir

__all__ = ["tree", "tree_parser"]

_COMMIT_CHARS = 9


def tree_parser() -> Parser:
    """The options of `nox -s tree`."""
    parser = Parser(prog="nox -s tree --", description=tree.__doc__)
    add = parser.add_argument
    add("--checkout", default="", metavar="PATH", help="an SGLang tree")
    add("--against", default="", metavar="catalog", help="show what differs from our rows")
    add("--write", action="store_true", help="write the tree's values into our rows")
    add("--new", action="store_true", help="with --write: a row for each suite that only the tree has, too")
    add("--names", action="store_true", help="the name of every AMD job as Actions shows it, one per line")
    add("--json", action="store_true", help="everything, for machines")
    return parser


def tree(arguments: Sequence[str]) -> int:
    """`--checkout PATH` shows what the tree's own files say; `--against catalog` what our rows say otherwise."""
    known = tree_parser().read(arguments)
    _check(known)
    catalog, environ = load_catalog(), read_environ()
    view = view_tree(catalog, known.checkout, cache_dir(environ))
    if not known.against:
        if known.json:
            print_json(tree_data(view.facts))
        elif known.names:
            show_names(view.facts)
        else:
            show_tree(open_console(environ), view.facts)
        return 0
    suites = suites_of_tree(catalog, view.facts, view.tests.registrations)
    found = [*registry_differences(catalog.discovery, view.facts), *differences_of(suites)]
    new = new_suites(suites)
    missing = [suite.name for suite in unrun(catalog, suites)]
    if known.json:
        print_json(
            {
                "differences": [asdict(row) for row in found],
                "only_in_the_tree": [suite.row.name for suite in new],
                "run_by_no_job": missing,
                "not_read": [str(problem) for problem in view.facts.unread],
            }
        )
    else:
        show_differences(open_console(environ), found, new, missing)
    if known.write:
        _write(view, found, suites, new if known.new else ())
    return 0


def _check(known: argparse.Namespace) -> None:
    problems: list[Problem] = []
    if not known.checkout:
        problems.append(
            Problem(where="--checkout", what="is missing", hint="name the top folder of an SGLang tree")
        )
    if known.against not in ("", "catalog"):
        problems.append(Problem(where="--against", what=f"unknown value {known.against!r}", hint="catalog"))
    if known.write and not known.against:
        problems.append(Problem(where="--write", what="needs --against catalog"))
    if known.names and (known.against or known.json):
        problems.append(Problem(where="--names", what="goes with neither --against nor --json"))
    if known.new and not known.write:
        problems.append(Problem(where="--new", what="needs --write"))
    if problems:
        raise UsageError("invalid options", problems=problems, then="nox -s tree -- --checkout PATH")


def _write(
    view: TreeView, found: Sequence[Difference], suites: Sequence[TreeSuite], new: Sequence[TreeSuite]
) -> None:
    """Write the tree's values into stages.toml.

    Raises:
        UsageError: a row cannot be edited; nothing is written.
    """
    path = CATALOG_DIR / "stages.toml"
    commit = commit_of(Path(view.facts.root)).value
    at = f" at {commit[:_COMMIT_CHARS]}" if commit else ""
    files = {
        suite.row.name: suite.lane.workflow.file.rpartition("/")[2]
        for suite in suites
        if suite.lane is not None
    }
    text = path.read_text(encoding="utf-8")
    try:
        for name in dict.fromkeys(row.suite for row in found if row.suite):
            values: dict[str, Any] = {row.column: _followed(row) for row in found if row.suite == name}
            values["source"] = files[name] + at
            text = edit_row(text, "suite", "name", name, values)
        for suite in new:
            text = add_row(text, "suite", _new_row(suite, at), after=text.count("\n[[suite]]") - 1)
    except ValueError as error:
        raise UsageError(
            f"cannot edit {path.name}: {error}", cause="nothing was written", then="edit the rows by hand"
        ) from error
    with writing(path):
        path.write_text(text, encoding="utf-8")
    changed = len({row.suite for row in found if row.suite})
    # a new suite stands in the dropdowns of our workflows, each value in the reference
    then = "workflows docs" if new else "docs"
    say(f"wrote {changed} changed and {len(new)} new rows to {path}; next: nox -s {then}, then nox -s check")
    others = [row for row in found if not row.suite]
    if others:
        say(
            f"{len(others)} registrars or roots differ: a checkout's own are used, discovery.toml is not changed"
        )


def _followed(row: Difference) -> Any:
    """The tree's value; of a list ours stay in their order."""
    if not isinstance(row.ours, list):
        return row.theirs
    kept = [each for each in row.ours if each in row.theirs]
    return [*kept, *(each for each in row.theirs if each not in kept)]


def _new_row(suite: TreeSuite, at: str) -> dict[str, Any]:
    row = suite.row
    usual = {"fabric": False, "nightly": False, "rocm": "", "files": [], "attempts": 1, "retry_wait_s": 0}
    values = {column: column_value(row, column) for column in COLUMNS}
    return {
        "id": row.id,
        "stage": row.stage,
        "name": row.name,
        **{column: value for column, value in values.items() if usual.get(column) != value},
        "why": f"run by {suite.lane.job.id}" if suite.lane is not None else row.why,
        "source": row.source.partition(":")[0] + at,
    }
