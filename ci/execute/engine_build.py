"""Making what a plan's engine needs on this machine, before the run: its environment, weights and their names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ci.catalog.catalog import Catalog
from ci.engine.environment import EngineEnvironment
from ci.engine.hub import make_hub
from ci.engine.interpreter import examine
from ci.engine.locate import find_environment, find_stand_ins
from ci.engine.make import Progress, prepare
from ci.engine.weights import convert
from ci.errors import InfrastructureError, UsageError
from ci.nox.environments import find_uv
from ci.plan.engine_build import EngineSource
from ci.plan.model import Plan, planned_again

__all__ = ["make_engine", "size_to_ask_about"]

# a layer is some 300 MiB: only the base is worth a question
_ASK_FROM_MIB: Final = 1024


def size_to_ask_about(catalog: Catalog, plan: Plan, environ: Mapping[str, str]) -> str:
    """What would be downloaded and written, in words; empty when that is little or nothing."""
    work = plan.work.engine_build
    if work is None or work.source is EngineSource.GIVEN:
        return ""
    size = _environment(catalog, plan, environ).size()
    if size.disk_mib < _ASK_FROM_MIB:
        return ""
    return f"a download of {size.download_mib / 1024:.1f} GiB and {size.disk_mib / 1024:.1f} GiB on disk"


def make_engine(
    catalog: Catalog,
    plan: Plan,
    environ: Mapping[str, str],
    *,
    show: Callable[[Progress], None],
    tell: Callable[[str], None],
) -> Plan:
    """Make what is not there yet; nothing half-made stays. Returns the plan with the folders that a container needs to see.

    Raises:
        UsageError: the plan's environment is of other pins than this repository's.
        InfrastructureError: no network, no space, no Python of that version, a conversion that failed, a checkout whose
            SGLang cannot be imported.
    """
    work = plan.work.engine_build
    place = plan.placement.engine_build
    if work is None or place is None:
        return plan
    folders: tuple[Path, ...] = ()
    if work.source is not EngineSource.GIVEN:
        environment = _environment(catalog, plan, environ)
        if environment.digest != work.environment:
            raise UsageError(
                "the plan's engine environment cannot be made here: the pins differ",
                cause="the plan is of another commit, or the environment was resolved on another day",
                then=f"git checkout {plan.work.commit.partition('+')[0]}, or {planned_again(plan.work.stage)}",
            )
        prepare(environment, uv=find_uv(environ), environ=environ, tell=show)
        folders = environment.read_only_folders
        if work.source is EngineSource.CHECKOUT:
            _examine(environment, Path(plan.placement.root), environ, tell)
    stand_ins = find_stand_ins(catalog.models, catalog.stand_ins, environ)
    convert(stand_ins.weights, Path(plan.placement.python), environ=environ, tell=tell)
    make_hub(stand_ins.weights, stand_ins.names, tell=tell)
    seen = tuple(map(str, (*folders, stand_ins.hub.parent)))
    if work.weights != stand_ins.weights.digest:
        raise InfrastructureError(
            "the weights of the rehearsal are not the plan's",
            cause="another version of their package is installed",
            then=planned_again(plan.work.stage),
        )
    placement = replace(plan.placement, engine_build=replace(place, folders=seen))
    return replace(plan, placement=placement)


def _examine(
    environment: EngineEnvironment, checkout: Path, environ: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Import the checkout's SGLang once, some 5 s: one that cannot be imported would fail each of its tests."""
    tell(f"importing the SGLang of {checkout}")
    examine(environment.python, asked=f"--checkout {checkout}", environ=environ, source=checkout / "python")


def _environment(catalog: Catalog, plan: Plan, environ: Mapping[str, str]) -> EngineEnvironment:
    work = plan.work.engine_build
    own = work is not None and work.source is EngineSource.CHECKOUT
    return find_environment(
        catalog.sglang,
        version="" if own else plan.work.engine_version,
        checkout=Path(plan.placement.root) if own else None,
        environ=environ,
    )
