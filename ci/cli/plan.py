"""`nox -s plan`: the plan of a stage, what differs between two, or between hardware classes."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser, read_run_options
from ci.cli.planning import plan_for
from ci.errors import Problem, UsageError
from ci.execute.run_folder import read_plan
from ci.plan.bounds import bounds_of
from ci.plan.compare.classes import compare_classes, reference_column
from ci.plan.compare.diff import compare
from ci.report.console import open_console, print_json
from ci.report.views.plan import print_plan, show_class_differences, show_differences
from ci.system.environ import read_environ

__all__ = ["diff_parser", "plan"]


def plan(arguments: Sequence[str]) -> int:
    """`STAGE [options]` prints a plan.

    `--diff A B` prints what differs between two saved ones, `--compare CLASS,CLASS STAGE [options]` what differs between
    the plans of a stage on several hardware classes; both are 0 also when something differs.
    """
    if arguments and arguments[0] == "--diff":
        return _diff(arguments)
    catalog = load_catalog()
    if arguments and arguments[0].partition("=")[0] == "--compare":
        return _compare(catalog, arguments)
    if not arguments or arguments[0].startswith("-"):
        known = ", ".join(stage.session for stage in catalog.stages)
        raise UsageError("no stage given", cause=f"stages: {known}", then="nox -s plan -- stage_a_amd")
    stage = catalog.stage(arguments[0])
    prog = f"nox -s plan -- {stage.session}"
    options = read_run_options(
        stage.id, prog, ("nox", "-s", stage.session, "--", *arguments[1:]), arguments[1:]
    )
    options.place = replace(options.place, planning_only=True)
    environ = read_environ()
    print_plan(plan_for(catalog, options, environ), environ, as_json=options.json)
    return 0


def _compare(catalog: Catalog, arguments: Sequence[str]) -> int:
    """Plan the same request for each class, whether or not CI would send it there, and print what differs."""
    first, equals, inline = arguments[0].partition("=")
    text, rest = (inline, arguments[1:]) if equals else (next(iter(arguments[1:]), ""), arguments[2:])
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    then = f"nox -s plan -- {first} mi300x,mi325x,mi355x stage_b_amd --suite 1-gpu-large"
    known = (*catalog.hardware.classes, *catalog.hardware.references)
    problems = [
        Problem(where=first, what=f"unknown hardware class {name!r}", hint=closest(name, known))
        for name in names
        if name not in known
    ]
    classes = [name for name in names if name in catalog.hardware.classes]
    if len(classes) < 2 and not problems:
        what = f"compares {len(classes)} hardware classes"
        problems.append(Problem(where=first, what=what, hint="name at least two, with commas between them"))
    if not rest or rest[0].startswith("-"):
        problems.append(Problem(where=first, what="the plans of which stage?", hint=then))
    if problems:
        raise UsageError("invalid options", problems=problems, then=then)
    stage = catalog.stage(rest[0])
    prog = f"nox -s plan -- {first} {text} {stage.session}"
    options = read_run_options(stage.id, prog, ("nox", "-s", stage.session, "--", *rest[1:]), rest[1:])
    if options.request.hardware != "auto":
        problem = Problem(
            where="--hardware", what=f"and {first} both name hardware", hint=f"use {first} alone"
        )
        raise UsageError("invalid options", problems=[problem], then=then)
    options.place = replace(options.place, planning_only=True)
    plans = {}
    for name in classes:
        options.request = replace(options.request, hardware=name, compared=True)
        plans[name] = plan_for(catalog, options, read_environ())
    rows = compare_classes(plans)
    tests = {
        test for made in plans.values() for suite in made.work.suites for test in (t.id for t in suite.tests)
    }
    engine = next(made.work.engine for made in plans.values())
    for name in names:
        if name in catalog.hardware.references:
            rows = reference_column(rows, name, bounds_of(catalog, name, tests, engine=engine))
    if options.json:
        result = {
            "classes": list(names),
            "digests": {name: made.digest for name, made in plans.items()},
            "differences": [asdict(row) for row in rows],
        }
        print_json(result)
    else:
        show_class_differences(open_console(read_environ()), stage.id, names, plans, rows)
    return 0


def diff_parser() -> Parser:
    """The options of `nox -s plan -- --diff`."""
    parser = Parser(prog="nox -s plan --")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="two plan.json files or run folders")
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    return parser


def _diff(arguments: Sequence[str]) -> int:
    known = diff_parser().read(arguments)
    left, right = (read_plan(Path(name)) for name in known.diff)
    differences = compare(left, right)
    if known.json:
        rows = [asdict(row) for row in differences]
        result = {
            "same_work": left.digest == right.digest,
            "left": left.digest,
            "right": right.digest,
            "differences": rows,
        }
        print_json(result)
    else:
        show_differences(open_console(read_environ()), differences, left=left, right=right)
    return 0
