"""What planning asks of an executor, whichever it is, and the values that are carried from one step to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ci.catalog.catalog import Catalog
from ci.catalog.containers import ContainerProfile
from ci.catalog.executors import ExecutorKind
from ci.catalog.stages import Suite
from ci.plan.container.image import ImageRequest
from ci.plan.container.image_fact import ImageFact
from ci.plan.container.needs import ContainerPlace, ContainerWork
from ci.plan.facts import DockerFacts, EngineFact, Facts
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.plan.slurm_place import SlurmPlace

__all__ = ["ContainerNeed", "ExecutorPlanning", "Needs", "Part", "preflights_not_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerNeed:
    """What has to be looked at before a container can be planned.

    `engine` is the one whose interpreter is looked for in the image. `image` is the question which image, or the image that
    a saved plan names; with `from_dockerfile` it is built from the checkout. `elsewhere`: on a machine that cannot be seen.
    """

    profile: ContainerProfile
    engine: str
    image: ImageRequest | ImageFact
    from_dockerfile: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request needs where its tests run, decided once.

    `suites` are those that run, which may take `limit_s` in all; `container` is None without one.
    """

    request: Request
    executor: ExecutorKind
    engine: str
    suites: tuple[Suite, ...]
    limit_s: float
    container: ContainerNeed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An executor's part of a plan.

    `image` to `slurm` are fields of the plan's work and placement; `gpus` is how many of the GPUs are used, None for all.
    `not_run` are notes on preflights that are left out.
    """

    engine: EngineFact
    pass_through: tuple[str, ...]
    sources: Mapping[str, str]
    image: str | None = None
    container: ContainerWork | None = None
    place: ContainerPlace | None = None
    slurm: SlurmPlace | None = None
    gpus: int | None = None
    not_run: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()


class ExecutorPlanning(Protocol):
    """A module of the registry: how runs of one executor are planned. Pure."""

    @property
    def OPTIONS(self) -> tuple[str, ...]:  # noqa: N802  # a module's constant
        """Options of a stage session that not every executor has a use for, but this one has."""

    @property
    def BRINGS_ENGINE(self) -> bool:  # noqa: N802  # a module's constant
        """Whether the engine comes with it, so that none is looked for on this machine."""

    @property
    def ON_CLUSTER(self) -> bool:  # noqa: N802  # a module's constant
        """Whether the tests run on the nodes of a cluster, whose hardware a row names, and not on the machine that plans."""

    def gpu_ids(self, facts: Facts, /) -> tuple[str, ...]:
        """The GPUs that the tests can have, as they are numbered where the tests run."""

    def need(
        self, catalog: Catalog, facts: Facts, request: Request, suites: Sequence[Suite], engine: str, /
    ) -> ContainerNeed | None:
        """The container that the suites need.

        Raises:
            UsageError: they need different ones, or no image fits the request.
        """

    def need_again(self, catalog: Catalog, saved: Plan, /) -> ContainerNeed | None:
        """The container of a saved plan; its image is the plan's.

        Raises:
            UsageError: its profile has no row here.
        """

    def require(self, catalog: Catalog, facts: Facts, needs: Needs, found: DockerFacts | None, /) -> None:
        """Refuse what a plan may be made of and no run.

        Raises:
            UsageError: the request does not fit what is here.
            InfrastructureError: what runs the tests is missing, or cannot take them.
        """

    def part(self, catalog: Catalog, facts: Facts, needs: Needs, found: DockerFacts | None, /) -> Part:
        """The executor's part of the plan; `found` is what was found out about the container that is needed.

        Raises:
            UsageError: the dependencies of this image and checkout are invalid.
            InfrastructureError: the engine is not installed.
        """


def preflights_not_run(suites: Sequence[Suite], why: str) -> tuple[str, ...]:
    """A note for each suite whose preflight is left out."""
    return tuple(
        f"{suite.id}: its preflight {suite.preflight} is not run: {why}"
        for suite in suites
        if suite.preflight
    )
