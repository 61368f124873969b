"""Planning runs on this machine itself: its own interpreter, no image."""

from collections.abc import Sequence
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.catalog.hardware import CPU
from ci.catalog.stages import Suite
from ci.errors import InfrastructureError
from ci.plan.environment import pass_through_names
from ci.plan.executor import Needs, Part, preflights_not_run
from ci.plan.facts import DockerFacts, Facts
from ci.plan.model import Plan
from ci.plan.request import Request

__all__ = ["BRINGS_ENGINE", "ON_CLUSTER", "OPTIONS", "gpu_ids", "need", "need_again", "part", "require"]

OPTIONS: Final = ()
BRINGS_ENGINE: Final = False
ON_CLUSTER: Final = False


def gpu_ids(facts: Facts) -> tuple[str, ...]:
    """This machine's, as its own programs number them."""
    return facts.gpu_ids


def need(_catalog: Catalog, _facts: Facts, _request: Request, _suites: Sequence[Suite], _engine: str) -> None:
    """No container."""


def need_again(_catalog: Catalog, _saved: Plan) -> None:
    """No container."""


def require(_catalog: Catalog, _facts: Facts, _needs: Needs, _found: DockerFacts | None) -> None:
    """Nothing: an engine that is missing leaves no plan."""


def part(catalog: Catalog, facts: Facts, needs: Needs, _found: DockerFacts | None) -> Part:
    """The interpreter that has the engine, and the caller's variables.

    Raises:
        InfrastructureError: no interpreter has the engine.
    """
    engine = facts.engines.get(needs.engine)
    if engine is None:
        raise _missing(catalog.engines[needs.engine], needs.request, rehearsal=facts.hardware_class == CPU)
    suites = () if facts.hardware_class == CPU else needs.suites
    return Part(
        engine=engine,
        pass_through=pass_through_names(catalog, facts.environ, in_container=False),
        not_run=preflights_not_run(suites, "the host executor runs none, run it by hand first"),
        sources={
            "work.image": "default: no image, the host's own files",
            "work.container": "the tests run without a container",
        },
    )


def _missing(engine: Engine, request: Request, *, rehearsal: bool) -> InfrastructureError:
    """What to do about an engine that no interpreter has; in a rehearsal ours should have it."""
    what = f"engine {engine.id} is not installed where the tests would run"
    if rehearsal:
        return InfrastructureError(
            what,
            cause=f"this environment does not have the package {engine.package!r}",
            then=f"the session makes one that has it: nox -s plan -- {request.stage}; a real stage's plan: --hardware mi300x --dry-run",
        )
    return InfrastructureError(
        what,
        cause=f"no python3 on the PATH has the package {engine.package!r}",
        then="name the interpreter that has it: --python PATH; or rehearse on the CPU: --hardware cpu",
    )
