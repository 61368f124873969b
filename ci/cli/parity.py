"""`nox -s parity` and `./inv parity`: is a job in Actions the same as its command on a machine with that hardware?"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.workflows import WorkflowRow
from ci.cli.options import Parser, read_run_options
from ci.cli.suite_tests import tests_of_suites, tree_facts
from ci.errors import CiError, ExitCode, NothingSelectedError, Problem
from ci.facts.gather import REPOSITORY, gather_machine
from ci.github.matrix import Ask, Job, make_waves, stage_waves, suites_of
from ci.github.parity.compare import Gap, Parity, PlanOf, Side, check_parity
from ci.github.parity.machine import PLACEHOLDER, furnish, stand_in_container, stand_in_image
from ci.github.parity.view import show_parity
from ci.github.workflows.render import WORKFLOWS
from ci.plan.draft import draft_plan
from ci.plan.facts import Facts
from ci.plan.jobs import Reason, everything
from ci.plan.make import make_plan
from ci.plan.model import Plan
from ci.report.console import Text, open_console, print_json
from ci.system.environ import read_environ

__all__ = ["full_runs", "parity", "planner"]

_EVENTS = ("pull_request", "schedule", "workflow_dispatch")


def parity(arguments: Sequence[str]) -> int:
    """Compare every job of every event; a difference that no row allows ends with exit 1."""
    parser = Parser(prog="nox -s parity --")
    parser.add_argument(
        "--checkout", default="", metavar="PATH", help="an SGLang tree: the jobs of its tests"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable standard output")
    known = parser.read(arguments)
    catalog = load_catalog()
    stage_file = REPOSITORY / WORKFLOWS / f"{catalog.actions.of_kind('stage')[0].id}.yml"
    try:
        text = stage_file.read_text()
    except OSError as error:
        raise CiError(
            f"cannot read {stage_file}: {error.strerror}", then="nox -s workflows", exit_code=ExitCode.STALE
        ) from error
    found: dict[str, Parity] = {}
    with tempfile.TemporaryDirectory(prefix="amd-ci-parity-") as machine:
        plan_of = planner(catalog, furnish(catalog, Path(machine)), known.checkout)
        for workflow in catalog.actions.of_kind("tests"):
            events = [event for event in _EVENTS if workflow.pull_requests or event != "pull_request"]
            jobs = full_runs(catalog, workflow, events, known.checkout)
            found[workflow.id] = check_parity(
                catalog, text, jobs, suites_of(catalog, workflow), plan_of, tree=known.checkout
            )
    if known.json:
        print_json({name: asdict(one) for name, one in found.items()})
    else:
        console = open_console(read_environ())
        show_parity(console, catalog.parity, found)
        console.print(Text(f"note: the image of each job is {PLACEHOLDER}; both sides have to keep it"))
    faults = [gap for one in found.values() for gap in one.faults]
    if faults:
        raise CiError(
            f"{len(faults)} differences between Actions and a machine that no row of parity.toml allows",
            problems=_problems(faults),
            cause="a workflow, a row or the code takes something from where it runs",
            then="fix it and render again: nox -s workflows",
            exit_code=ExitCode.TESTS_FAILED,
        )
    return 0


def _problems(faults: Sequence[Gap]) -> list[Problem]:
    """Equal differences of several jobs in one line, which names the first of them."""
    jobs: dict[str, list[str]] = {}
    for gap in faults:
        what = f"{gap.path}: {gap.machine or 'nothing'} here, {gap.actions or 'nothing'} in Actions"
        jobs.setdefault(what, []).append(gap.job)
    return [
        Problem(where=names[0] + (f" and {len(names) - 1} more" if names[1:] else ""), what=what)
        for what, names in jobs.items()
    ]


def full_runs(
    catalog: Catalog, workflow: WorkflowRow, events: Sequence[str], checkout: str = ""
) -> dict[str, tuple[Job, ...]]:
    """The jobs of a run of everything in a workflow, by event; images are stand-ins of one family and flavour each."""
    suites = suites_of(catalog, workflow)
    tests = tests_of_suites(catalog, tree_facts(catalog, checkout, {}), suites)
    choices = everything(suites, Reason(file="", rule="parity", why="every suite is compared")).choices
    waves = stage_waves(catalog, workflow)
    image = partial(stand_in_image, catalog)
    found = {}
    for event in events:
        ask = Ask(event=event, at_once=True, pool="", rocm="", continue_on_error=False)
        found[event] = make_waves(catalog, choices, tests, waves, ask, image).jobs
    return found


def planner(catalog: Catalog, machine: Path, checkout: str = "") -> PlanOf:
    """Plans a side with the facts that it would have: the same tree, another machine, another environment.

    `machine` is the root folder of a machine with everything, see `furnish`; both sides have it. `checkout` is the SGLang
    tree that both have, under the names that they call it by.
    """
    known: dict[tuple[object, ...], Facts] = {}
    path = read_environ().get("PATH", "")

    def plan_of(side: Side) -> Plan | None:
        stage = catalog.stage(side.session)
        command = ("nox", "-s", stage.session, "--", *side.options)
        options = read_run_options(stage.id, f"nox -s {stage.session} --", command, side.options)
        said = options.request.hardware
        request = replace(options.request, hardware=side.hardware if said == "auto" else said)
        # what names the job itself reaches its command line alone, so one look serves all jobs of a stage
        environ = {
            name: value for name, value in side.environ.items() if name not in ("SESSION", "SUITE", "SHARD")
        }
        environ = {"PATH": path, "HOME": "/home/somebody", **environ}
        place = (options.place.checkout, request.hardware, side.in_actions)
        key = (*place, request.executor, tuple(sorted(environ.items())))
        if key not in known:
            # a side that names a tree means the one that we have; one that names none tests this repository
            tree = checkout if options.place.checkout else ""
            where = replace(options.place, planning_only=True, checkout=tree)
            known[key] = gather_machine(catalog, request, where, environ)
        facts = known[key]
        try:
            draft = draft_plan(catalog, facts, request)
        except NothingSelectedError:
            return None
        need = draft.needs.container
        found = stand_in_container(catalog, facts, need, machine) if need is not None else None
        return make_plan(catalog, _elsewhere(facts, side), draft, found)

    return plan_of


def _elsewhere(facts: Facts, side: Side) -> Facts:
    """The facts of another machine: where the tree is, its name and its user get into nothing that decides a verdict."""
    if not side.in_actions:
        return replace(facts, host="bench", user="somebody")
    root = side.environ.get("GITHUB_WORKSPACE", facts.root)
    return replace(facts, host="runner", user="runner", root=root)
