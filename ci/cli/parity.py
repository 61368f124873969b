"""`nox -s parity` and `./inv parity`: is a job in Actions the same as its command on a machine with that hardware?"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ci.catalog.catalog import load_catalog
from ci.catalog.stages import Stage
from ci.cli.options import Parser, read_run_options
from ci.errors import CiError, ExitCode, Problem
from ci.facts.gather import REPOSITORY, Place
from ci.github.matrix import suites_of
from ci.github.parity.compare import Parity, check_parity
from ci.github.parity.executors import Pair, compare_executors, with_clusters
from ci.github.parity.machine import PLACEHOLDER, furnish
from ci.github.parity.plans import full_runs, planner
from ci.github.parity.view import show_executors, show_parity
from ci.github.workflows.render import WORKFLOWS
from ci.plan.request import Request
from ci.report.console import open_console, print_json
from ci.system.environ import read_environ

__all__ = ["parity", "parity_parser", "read_side"]

_EVENTS = ("pull_request", "schedule", "workflow_dispatch")


def parity_parser() -> Parser:
    """The options of `nox -s parity`."""
    parser = Parser(prog="nox -s parity --")
    parser.add_argument(
        "--checkout", default="", metavar="PATH", help="an SGLang tree: the jobs of its tests"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable standard output")
    return parser


def parity(arguments: Sequence[str]) -> int:
    """Compare every job of every event; a difference that no row allows ends with exit 1."""
    known = parity_parser().read(arguments)
    catalog = with_clusters(load_catalog())
    stage_file = REPOSITORY / WORKFLOWS / f"{catalog.actions.of_kind('stage')[0].id}.yml"
    try:
        text = stage_file.read_text()
    except OSError as error:
        raise CiError(
            f"cannot read {stage_file}: {error.strerror}", then="nox -s workflows", exit_code=ExitCode.STALE
        ) from error
    found: dict[str, Parity] = {}
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="amd-ci-parity-") as machine:
        plan_of = planner(catalog, furnish(catalog, Path(machine)), read_side, known.checkout)
        for workflow in catalog.actions.of_kind("tests"):
            events = [event for event in _EVENTS if workflow.pull_requests or event != "pull_request"]
            jobs = full_runs(catalog, workflow, events, known.checkout)
            suites = suites_of(catalog, workflow)
            found[workflow.id] = check_parity(catalog, text, jobs, suites, plan_of, tree=known.checkout)
            pairs += compare_executors(catalog, suites, plan_of, known.checkout)
    if known.json:
        workflows = {name: asdict(one) for name, one in found.items()}
        print_json({**workflows, "executors": [asdict(pair) for pair in pairs]})
    else:
        console = open_console(read_environ())
        show_parity(console, catalog.parity, found)
        show_executors(console, pairs)
        console.print(f"note: the image of each job is {PLACEHOLDER}; both sides have to keep it")
    faults = [gap for one in found.values() for gap in one.faults]
    apart = [pair for pair in pairs if pair.faults]
    if faults or apart:
        in_actions = (
            (f"{gap.path}: {gap.machine or 'nothing'} here, {gap.actions or 'nothing'} in Actions", gap.job)
            for gap in faults
        )
        by_executor = (
            (
                f"{one.path}: {one.left or 'nothing'} with {pair.left}, {one.right or 'nothing'} with {pair.right}",
                f"{pair.suite} on {pair.hardware}",
            )
            for pair in apart
            for one in pair.faults
        )
        raise CiError(
            f"{len(faults)} differences between Actions and a machine, and {sum(len(pair.faults) for pair in apart)} between"
            " executors, that no row of parity.toml allows",
            problems=_grouped([*in_actions, *by_executor]),
            cause="a workflow, a row or the code depends on the machine that it runs on",
            then="fix it and render again: nox -s workflows",
            exit_code=ExitCode.TESTS_FAILED,
        )
    return 0


def read_side(stage: Stage, words: Sequence[str]) -> tuple[Request, Place]:
    """The options of one side, read as its session reads them."""
    session = ("nox", "-s", stage.session, "--")
    options = read_run_options(stage.id, " ".join(session), (*session, *words), words)
    return options.request, options.place


def _grouped(found: Iterable[tuple[str, str]]) -> list[Problem]:
    """What differs and where; equal differences in one line, which names the first place."""
    places: dict[str, list[str]] = {}
    for what, where in found:
        places.setdefault(what, []).append(where)
    return [
        Problem(where=where + (f" and {len(others)} more" if others else ""), what=what)
        for what, (where, *others) in places.items()
    ]
