"""`nox -s fleet`: what a fleet of machines would do with a day's changes, simulated."""

import math
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import ENVS_DIR
from ci.catalog.toml_reader import CATALOG_DIR
from ci.cli.fleet_options import read_fleet_options
from ci.cli.shards import tests_and_catalog
from ci.errors import writing
from ci.plan.fleet.model import FleetResult
from ci.plan.fleet.scenario import Fleet, Load, Settings, load_of, scenario_of
from ci.plan.fleet.search import Found, Goal, search
from ci.plan.fleet.simulate import simulate
from ci.plan.fleet.variants import AS_IS, variants
from ci.report.console import open_console, print_json, say
from ci.report.final.fleet_page import FleetPage, fleet_page
from ci.report.fleet import fleet_data, found_data
from ci.report.views.fleet import show_fleet, show_found
from ci.system import clock
from ci.system.environ import read_environ

__all__ = ["fleet"]

_KIB = 1024


def fleet(arguments: Sequence[str]) -> int:
    """Simulate a fleet: queue wait, time to green, GPU hours, and what gates, fail-fast, selection and shards cost."""
    known, settings = read_fleet_options(arguments)
    started_s = clock.monotonic_s()
    loads = _loads(known)
    results: dict[str, FleetResult] = {}
    notes: dict[str, None] = {}
    for name, load in loads.items():
        for variant in variants(load, Fleet()):
            if variant.name != AS_IS and (known.plain or len(loads) > 1):
                continue
            scenario = scenario_of(load, settings, variant.fleet)
            notes |= dict.fromkeys(scenario.notes)
            results[name if len(loads) > 1 else variant.name] = simulate(scenario)
    found, goal = _search(known, next(iter(loads.values())), settings)
    took_s = clock.monotonic_s() - started_s
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB
    jobs = sum(result.jobs for result in results.values())
    cost = f"{len(results)} fleets, {jobs} jobs in {took_s:.1f} s, {memory_mib:.0f} MiB; seed {settings.seed}"
    if known.json:
        data = fleet_data(results, list(notes))
        print_json(data if found is None else {**data, "search": found_data(found)})
    else:
        console = open_console(read_environ())
        show_fleet(console, results)
        if found is not None and goal is not None:
            show_found(console, found, goal)
        for note in notes:
            console.print(f"note: {note}")
    if known.output:
        page = FleetPage(
            results=results, notes=tuple(notes), found=found, goal=goal, cost=cost, settings=settings
        )
        path = Path(known.output).expanduser().absolute()
        with writing(path):
            path.write_text(fleet_page(page), encoding="utf-8")
        say(f"page: {path}")
    say(cost)
    return 0


def _loads(known: Any) -> Mapping[str, Load]:
    """The catalogs that are simulated, with the tests of the tree, by name."""
    folders = known.compare or [str(CATALOG_DIR)]
    found = {}
    for folder in folders:
        root, catalog, tests = tests_and_catalog(_catalog(folder), known.checkout)
        fixed = {file for suite in catalog.suites for file in suite.files if (root / file).is_file()}
        found[folder] = load_of(catalog, tests, fixed)
    return found


def _catalog(folder: str) -> Catalog:
    """The rows of a folder, with the env sets of its repository where it has some."""
    rows = Path(folder).expanduser().absolute()
    own = (place / "envs" for place in (rows, *rows.parents[:2]))
    return load_catalog(rows, next((envs for envs in own if envs.is_dir()), ENVS_DIR))


def _search(known: Any, load: Load, settings: Settings) -> tuple[Found | None, Goal | None]:
    if known.target is None:
        return None, None
    budget = math.inf if known.budget is None else known.budget
    goal = Goal(green_p90_s=60 * known.target, gpu_h_a_day=budget)
    return search(load, Fleet(), goal, lambda fleet: simulate(scenario_of(load, settings, fleet))), goal
