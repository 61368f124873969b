"""`nox -s plan`: the plan of a stage, or what differs between two."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ci import environ
from ci.catalog.load import load_catalog
from ci.cli.options import Parser, parse, read_run_options
from ci.cli.planning import plan_for, read_plan
from ci.errors import Problem, UsageError
from ci.plan.diff import compare
from ci.plan.model import Plan
from ci.report.console import open_console
from ci.report.plan_view import show_differences, show_plan

__all__ = ["plan", "print_plan"]


def plan(arguments: Sequence[str]) -> int:
    """`STAGE [options]` prints a plan, `--diff A B` what differs between two saved ones (0 also when they differ)."""
    if arguments and arguments[0] == "--diff":
        return _diff(arguments)
    catalog = load_catalog()
    if not arguments or arguments[0].startswith("-"):
        known = ", ".join(stage.session for stage in catalog.stages)
        raise UsageError(
            "the plan of which stage?", cause=f"stages: {known}", then="nox -s plan -- stage_a_amd"
        )
    stage = catalog.stage(arguments[0])
    prog = f"nox -s plan -- {stage.session}"
    options = read_run_options(
        stage.id, prog, ("nox", "-s", stage.session, "--", *arguments[1:]), arguments[1:]
    )
    options.place = replace(options.place, planning_only=True)
    print_plan(plan_for(catalog, options, environ.read()), as_json=options.json)
    return 0


def print_plan(made: Plan, *, as_json: bool) -> None:
    """The plan as tables, or as JSON that `--plan` reads."""
    if as_json:
        sys.stdout.write(json.dumps(made.to_json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    else:
        show_plan(open_console(environ.read()), made)


def _diff(arguments: Sequence[str]) -> int:
    parser = Parser(prog="nox -s plan --")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="two plan.json files or run folders")
    parser.add_argument("--json", action="store_true")
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    if problems:
        raise UsageError("the options can't be meant", problems=problems, then="nox -s plan -- --diff A B")
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
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
    else:
        show_differences(open_console(environ.read()), differences, left=left, right=right)
    return 0
