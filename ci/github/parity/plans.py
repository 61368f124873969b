"""What parity compares: the jobs of a full run in Actions, and the plan of each side."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Stage
from ci.catalog.workflows import WorkflowRow
from ci.errors import NothingSelectedError
from ci.facts.gather import Place, gather_machine
from ci.facts.tree_tests import tree_facts
from ci.github.matrix import Ask, Job, make_waves, stage_waves, suites_of
from ci.github.parity.compare import PlanOf, Side
from ci.github.parity.machine import stand_in_container, stand_in_image
from ci.plan.draft import draft_plan
from ci.plan.facts import Facts
from ci.plan.jobs import Reason, everything
from ci.plan.make import make_plan
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.plan.select import tests_of_suites
from ci.system.environ import read_environ

__all__ = ["ReadOptions", "full_runs", "planner"]

# reads the options of a stage's session
ReadOptions = Callable[[Stage, Sequence[str]], tuple[Request, Place]]


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


def planner(catalog: Catalog, machine: Path, read: ReadOptions, checkout: str = "") -> PlanOf:
    """Plans a side with the facts that it would have: the same tree, another machine, another environment.

    `machine` is the root folder of a machine with everything, see `furnish`; both sides have it. `checkout` is the SGLang
    tree that both have, under the names that they call it by.
    """
    known: dict[tuple[object, ...], Facts] = {}
    path = read_environ().get("PATH", "")

    def plan_of(side: Side) -> Plan | None:
        stage = catalog.stage(side.session)
        request, place = read(stage, side.options)
        if request.hardware == "auto":
            request = replace(request, hardware=side.hardware)
        # what names the job itself reaches its command line alone, so one look serves all jobs of a stage
        environ = {
            name: value for name, value in side.environ.items() if name not in ("SESSION", "SUITE", "SHARD")
        }
        environ = {"PATH": path, "HOME": "/home/somebody", **environ}
        where = (place.checkout, request.hardware, side.in_actions)
        key = (*where, request.executor, request.cluster, tuple(sorted(environ.items())))
        if key not in known:
            # a side that names a tree means the one that we have; one that names none tests this repository
            tree = checkout if place.checkout else ""
            # its files are the same for both sides
            looked = replace(place, planning_only=True, names_only=True, checkout=tree)
            known[key] = gather_machine(catalog, request, looked, environ)
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
