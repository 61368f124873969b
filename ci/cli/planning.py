"""From options to a plan: what `run` and `plan` share."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.cli.earlier_run import failed_part, with_failed
from ci.cli.options import RunOptions
from ci.errors import UsageError
from ci.execute.run_folder import read_plan
from ci.facts.gather import Place, gather, runs_dir
from ci.plan.compare.replay import place_again
from ci.plan.facts import Facts
from ci.plan.make import make_plan
from ci.plan.model import Plan
from ci.plan.quarantine import require_sound_quarantine
from ci.plan.request import Request
from ci.report.views.build import BuildView

__all__ = ["plan_for"]


def plan_for(catalog: Catalog, options: RunOptions, environ: Mapping[str, str]) -> Plan:
    """The plan that the options mean: made anew, or read from `--plan` and placed on this machine."""
    if options.plan_file:
        saved = read_plan(_plan_path(options.plan_file, runs_dir(environ)))
        if saved.work.stage != options.request.stage:
            session = catalog.stage(saved.work.stage).session
            what = f"{options.plan_file} is a plan of {saved.work.stage}, this is {options.request.stage}"
            raise UsageError(what, then=f"nox -s {session} -- --plan {options.plan_file}")
        executor = "docker" if saved.work.container is not None else "host"
        request = replace(options.request, hardware=saved.work.hardware_class, engine=saved.work.engine)
        asked = replace(request, executor=executor)
        place = options.place
        if saved.work.checkout:
            place = replace(place, checkout=saved.placement.root)
        plan = place_again(catalog, _facts(catalog, asked, place, environ, saved), request, saved)
        return failed_part(plan, options.plan_file, runs_dir(environ)) if options.failed else plan
    request = options.request
    if options.list and request.executor in ("auto", "docker"):
        # their names are the same in either place: no registry and no engine is needed
        request = replace(request, executor="host")
    if options.last_failed is not None:
        request = with_failed(request, options.last_failed, runs_dir(environ))
    place = replace(options.place, tell=BuildView(json=options.json).show)
    return make_plan(catalog, _facts(catalog, request, place, environ), request)


def _facts(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    saved: Plan | None = None,
) -> Facts:
    """The facts, of a day on which the quarantine is sound.

    Raises:
        QuarantineError: a row has expired or is invalid.
    """
    facts = gather(catalog, request, place, environ, saved=saved)
    require_sound_quarantine(catalog, facts.tests, today=facts.today, own=not place.checkout)
    return facts


def _plan_path(given: str, runs: Path) -> Path:
    """What `--plan` names: a file or a folder, or the name of a run."""
    path = Path(given)
    return path if path.exists() or not (runs / given).is_dir() else runs / given
