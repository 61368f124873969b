"""`nox -s check`: the catalog, the env sets, the quarantine and the registrations, every problem at once."""

from collections.abc import Sequence

from ci.catalog.catalog import Catalog, read_catalog
from ci.catalog.registrations.parse import Discovery
from ci.cli.check_tree import check_tree
from ci.cli.options import Parser
from ci.errors import CiError, ExitCode, Problem, QuarantineError, StaleError, UsageError
from ci.facts.gather import REPOSITORY, discover_tests, find_today
from ci.github.workflows.lint import lint_workflows
from ci.github.workflows.render import COMMAND, find_stale
from ci.plan.check import check_environments, check_registrations
from ci.plan.quarantine import expiring, quarantine_problems, tried_date_note
from ci.plan.route import check_routes
from ci.report.console import open_console, print_json
from ci.system.environ import TODAY, read_environ

__all__ = ["check", "check_parser"]


def check_parser() -> Parser:
    """The options of `nox -s check`."""
    parser = Parser(prog="nox -s check --", description=check.__doc__)
    add = parser.add_argument
    add("--checkout", default="", metavar="PATH", help="an SGLang tree, in the place of this one")
    add(
        "--base",
        default="",
        metavar="REF",
        help="with --checkout: what was lost or loosened since this commit",
    )
    add("--all", action="store_true", help="with --checkout: every finding, not the first of each kind")
    add("--sarif", default="", metavar="FILE", help="with --checkout: write the findings for code scanning")
    add("--json", action="store_true", help="everything, for machines")
    return parser


def check(arguments: Sequence[str]) -> int:
    """Check everything that can be checked without running a test; `--checkout PATH` checks an SGLang tree's CI."""
    known = check_parser().read(arguments)
    if known.checkout:
        return check_tree(known)
    problems = [
        Problem(where=option, what="needs --checkout PATH")
        for option, value in (("--all", known.all), ("--base", known.base), ("--sarif", known.sarif))
        if value
    ]
    if problems:
        raise UsageError("invalid options", problems=problems, then="nox -s check -- --help")
    return _check_own(json=known.json)


def _check_own(*, json: bool) -> int:
    catalog, found = read_catalog()
    problems = list(found)
    problems += check_environments(catalog)
    root, tests = discover_tests(catalog, "")
    notes: list[str] = []
    today, today_source = find_today(read_environ())
    quarantined: Sequence[Problem] = catalog.quarantine.problems
    workflows: list[Problem] = []
    # invalid rows are left out of the catalog: what depends on one of them would be reported too
    if catalog.discovery.complete:
        problems += tests.problems
        notes += check_registrations(catalog, tests, problems=problems)
        quarantined = quarantine_problems(catalog, tests, today=today, own=True)
    if catalog.sound:
        problems += check_routes(catalog)
        problems += lint_workflows(catalog)
        workflows = [file.problem for file in find_stale(catalog, REPOSITORY)]
    notes += expiring(catalog, today=today)
    if today_source.startswith(TODAY):
        notes.insert(0, tried_date_note(today, today_source))
    problems = list(dict.fromkeys(problems))
    kinds: tuple[tuple[Sequence[Problem], type[CiError]], ...] = (
        (problems, UsageError),
        (quarantined, QuarantineError),
        (workflows, StaleError),
    )
    kind = next((kind for rows, kind in kinds if rows), None)
    code = kind.exit_code if kind else ExitCode.OK
    problems = [*problems, *quarantined, *workflows]
    if json:
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
        raise kind(
            f"{len(problems)} problem" + ("" if len(problems) == 1 else "s"),
            problems=problems,
            then=COMMAND if kind is StaleError else "fix them, then: nox -s check",
        )
    return 0


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
