"""`nox -s check`: the catalog, the env sets, the quarantine and the registrations, every problem at once."""

from collections.abc import Sequence
from pathlib import Path

from ci.catalog.catalog import Catalog, read_catalog
from ci.catalog.registrations.parse import Discovery
from ci.cli.options import Parser
from ci.errors import CiError, ExitCode, FindingsError, Problem, QuarantineError, StaleError, UsageError
from ci.facts.gather import REPOSITORY, discover_tests, find_today
from ci.facts.tree.catalog import view_tree
from ci.github.workflows.lint import lint_workflows
from ci.github.workflows.render import COMMAND, find_stale
from ci.plan.check import check_environments, check_registrations
from ci.plan.quarantine import expiring, quarantine_problems, tried_date_note
from ci.plan.route import check_routes
from ci.report.console import open_console, print_json
from ci.system.environ import TODAY, read_environ
from ci.system.file_lock import cache_dir

__all__ = ["check"]


def check(arguments: Sequence[str]) -> int:
    """Check everything that can be checked without running a test; `--checkout PATH` checks an SGLang tree's tests."""
    parser = Parser(prog="nox -s check --")
    parser.add_argument("--checkout", default="", metavar="PATH")
    parser.add_argument("--json", action="store_true")
    known = parser.read(arguments)
    catalog, found = read_catalog()
    own = not known.checkout
    problems = list(found)
    problems += check_environments(catalog)
    followed, root, tests, unread = _tree(catalog, known.checkout)
    of_tree: list[Problem] = []
    notes: list[str] = [f"not read: {problem}" for problem in unread]
    today, today_source = find_today(read_environ())
    quarantined: Sequence[Problem] = catalog.quarantine.problems
    workflows: list[Problem] = []
    # invalid rows are left out of the catalog: what depends on one of them would be reported too
    if catalog.discovery.complete:
        of_tree += tests.problems
        notes += check_registrations(followed, tests, own=own, problems=of_tree)
        quarantined = quarantine_problems(catalog, tests, today=today, own=own)
    if catalog.sound:
        problems += check_routes(catalog)
        of_tree += lint_workflows(catalog, root, tests, own=own)
        workflows = [file.problem for file in find_stale(catalog, REPOSITORY)]
    notes += expiring(catalog, today=today)
    if today_source.startswith(TODAY):
        notes.insert(0, tried_date_note(today, today_source))
    problems, of_tree = list(dict.fromkeys(problems)), list(dict.fromkeys(of_tree))
    kinds: tuple[tuple[Sequence[Problem], type[CiError]], ...] = (
        (problems, UsageError),
        (of_tree if own else [], UsageError),
        (quarantined, QuarantineError),
        (workflows, StaleError),
        (of_tree, FindingsError),
    )
    kind = next((kind for rows, kind in kinds if rows), None)
    code = kind.exit_code if kind else ExitCode.OK
    problems = [*problems, *of_tree, *quarantined, *workflows]
    if known.json:
        rows = [{"where": row.where, "what": row.what, "hint": row.hint} for row in problems]
        counts = {
            "suites": len(catalog.suites),
            "env_sets": len(catalog.env_sets),
            "registrations": len(tests.registrations),
            "quarantined": len(catalog.quarantine.rows),
        }
        print_json({"problems": rows, "notes": notes, **counts})
        return int(code)
    _show(catalog, tests, notes, str(root))
    if kind:
        again = "nox -s check" + (f" -- --checkout {known.checkout}" if known.checkout else "")
        raise kind(
            f"{len(problems)} problem" + ("" if len(problems) == 1 else "s"),
            problems=problems,
            then=COMMAND if kind is StaleError else f"fix them, then: {again}",
        )
    return 0


def _tree(catalog: Catalog, checkout: str) -> tuple[Catalog, Path, Discovery, Sequence[Problem]]:
    """The rows that hold for what is checked, its folder, its registrations, and what of it could not be read."""
    if not checkout:
        return catalog, *discover_tests(catalog, ""), ()
    view = view_tree(catalog, checkout, cache_dir(read_environ()))
    return view.catalog, Path(view.facts.root), view.tests, view.facts.unread


def _show(catalog: Catalog, tests: Discovery, notes: list[str], root: str) -> None:
    console = open_console(read_environ())
    console.print(
        f"catalog: {len(catalog.stages)} stages, {len(catalog.suites)} suites, {len(catalog.env_sets)} env sets, "
        f"{len(catalog.bounds)} bounds, "
        f"{len({row.id for row in catalog.capabilities})} capabilities, "
        f"{len(catalog.quarantine.rows)} in quarantine"
    )
    console.print(f"{root}: {tests.files_seen} files, {len(tests.registrations)} AMD registrations")
    for note in notes:
        console.print(f"note: {note}")
