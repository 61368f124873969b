"""From options to a plan: what `run` and `plan` share."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.executors import ExecutorKind
from ci.cli.options import RunOptions
from ci.errors import UsageError
from ci.execute.earlier_run import failed_part, with_failed
from ci.execute.run_folder import read_plan
from ci.facts.cluster import find_cluster
from ci.facts.container import gather_container
from ci.facts.gather import REPOSITORY, Place, gather_machine, runs_dir
from ci.facts.tree.catalog import catalog_for
from ci.plan.compare.replay import draft_again, made_again, request_again, verified
from ci.plan.draft import draft_plan
from ci.plan.executor import Needs
from ci.plan.facts import DockerFacts, Facts
from ci.plan.make import make_plan
from ci.plan.model import Plan
from ci.plan.quarantine import require_sound_quarantine
from ci.plan.registry import EXECUTORS
from ci.plan.request import Request
from ci.report.views.build import BuildView
from ci.system.file_lock import cache_dir

__all__ = ["plan_for"]


def plan_for(catalog: Catalog, options: RunOptions, environ: Mapping[str, str]) -> Plan:
    """The plan of a request, or the one of `--plan`, placed on this machine."""
    catalog = catalog_for(catalog, options.place.checkout, cache_dir(environ))
    if options.plan_file:
        return _again(catalog, options, environ)
    request = options.request
    if options.list:
        request = _listed(catalog, request, environ)
    if options.last_failed is not None:
        checkout = options.place.checkout
        root = Path(checkout).expanduser().absolute() if checkout else REPOSITORY
        request = with_failed(
            request, options.last_failed, runs_dir(environ), root=root, checkout=bool(checkout)
        )
    place = replace(options.place, tell=BuildView(json=options.json).show)
    facts = _machine(catalog, request, place, environ)
    draft = draft_plan(catalog, facts, request)
    return make_plan(catalog, facts, draft, _container(catalog, facts, draft.needs, place))


def _listed(catalog: Catalog, request: Request, environ: Mapping[str, str]) -> Request:
    """The request for the tests' names, which are the same wherever they run: no registry and no engine is needed.

    Raises:
        UsageError: the cluster has no row.
        InfrastructureError: no cluster is named, and no Slurm answers here.
    """
    if request.executor is not None and EXECUTORS[request.executor].ON_CLUSTER:
        found = find_cluster(catalog, request, environ, named_only=True)
        if request.hardware == "auto":
            request = replace(request, hardware=catalog.clusters[found.cluster.value].hardware)
    return replace(request, executor=ExecutorKind.HOST)


def _again(catalog: Catalog, options: RunOptions, environ: Mapping[str, str]) -> Plan:
    """The plan of `--plan`: what its request gives on this machine, which has to be the same."""
    runs = runs_dir(environ)
    saved = read_plan(_plan_path(options.plan_file, runs))
    if saved.work.stage != options.request.stage:
        session = catalog.stage(saved.work.stage).session
        what = f"{options.plan_file} is a plan of {saved.work.stage}, this is {options.request.stage}"
        raise UsageError(what, then=f"nox -s {session} -- --plan {options.plan_file}")
    request = request_again(options.request, saved)
    checkout = saved.placement.root if saved.work.checkout else options.place.checkout
    place = replace(options.place, checkout=checkout, names_only=False)
    facts = _machine(catalog, request, place, environ)
    if facts.elsewhere and facts.slurm is None:
        # as many GPUs as the machine had that it was planned for
        facts = replace(facts, gpu_ids=saved.placement.gpu_ids)
    draft = draft_again(catalog, draft_plan(catalog, facts, request), saved)
    fresh = made_again(catalog, facts, draft, saved, _container(catalog, facts, draft.needs, place))
    plan = verified(saved, fresh, as_saved=options.as_saved)
    return failed_part(catalog, plan, options.plan_file, runs) if options.failed else plan


def _machine(catalog: Catalog, request: Request, place: Place, environ: Mapping[str, str]) -> Facts:
    """The facts of this machine, on a day on which the quarantine is sound.

    Raises:
        QuarantineError: a row has expired or is invalid.
    """
    facts = gather_machine(catalog, request, place, environ)
    require_sound_quarantine(catalog, facts.tests, today=facts.today, own=not place.checkout)
    return facts


def _container(catalog: Catalog, facts: Facts, needs: Needs, place: Place) -> DockerFacts | None:
    """The facts of the container that is needed, None without one.

    Raises:
        UsageError: the request does not fit what is here.
        InfrastructureError: its executor cannot run it from this machine.
    """
    found = gather_container(catalog, facts, needs.container, place) if needs.container is not None else None
    if not place.planning_only:
        EXECUTORS[needs.executor].require(catalog, facts, needs, found)
    return found


def _plan_path(given: str, runs: Path) -> Path:
    """What `--plan` names: a file or a folder, or the name of a run."""
    path = Path(given)
    return path if path.exists() or not (runs / given).is_dir() else runs / given
