"""Parity of a full run that a test has changed: workflow text, jobs or rows."""

import atexit
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.cli.parity import read_side
from ci.github.matrix import Job, suites_of
from ci.github.parity.compare import Parity, PlanOf, check_parity
from ci.github.parity.machine import furnish
from ci.github.parity.plans import full_runs, planner
from ci.github.workflows.render import render
from support.catalog_files import catalog

__all__ = ["EVENT", "faults", "jobs", "machine", "parity", "plan_of", "stage_text"]

EVENT = "schedule"


@cache
def stage_text() -> str:
    """The stage workflow as the catalog renders it."""
    return render(catalog())[".github/workflows/amd-stage.yml"]


@cache
def jobs() -> tuple[Job, ...]:
    return full_runs(catalog(), catalog().actions.of_kind("tests")[0], [EVENT])[EVENT]


@cache
def machine() -> Path:
    """The root folder of a machine that has all that containers.toml looks for; gone when this process ends."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return furnish(catalog(), Path(folder.name))


@cache
def plan_of() -> PlanOf:
    return planner(catalog(), machine(), read_side)


def parity(
    *,
    text: Callable[[str], str] = lambda text: text,
    change: Callable[[tuple[Job, ...]], tuple[Job, ...]] = lambda jobs: jobs,
    of: Catalog | None = None,
    suite: str = "",
) -> Parity:
    """Parity of a full run, or of one suite of it, after something was changed."""
    here = of or catalog()
    suites = [one for one in suites_of(here, here.actions.of_kind("tests")[0]) if suite in ("", one.name)]
    wanted = change(tuple(job for job in jobs() if not suite or job.name.startswith(f"{suite} (")))
    return check_parity(
        here,
        text(stage_text()),
        {EVENT: wanted},
        suites,
        plan_of() if of is None else planner(of, machine(), read_side),
    )


def faults(found: Parity) -> set[str]:
    return {gap.path for gap in found.faults}
