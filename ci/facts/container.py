"""The facts of a container run: the image, what this machine has for a container, what the checkout asks for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.docker.client import docker_host, remote_because
from ci.errors import UsageError
from ci.facts.container_host import gather_container_facts
from ci.facts.dockerfile import look_at_checkout
from ci.images.build_sglang import dockerfile_image
from ci.images.resolve import resolve_image
from ci.plan.container.image import image_ask
from ci.plan.container.image_fact import (
    ENGINE_LABEL,
    FLAVOUR_LABEL,
    PYTHON_LABEL,
    PYTHON_VERSION_LABEL,
    ImageFact,
    planned_image,
)
from ci.plan.container.needs import ContainerFacts, Need, needs_of, one_need
from ci.plan.container.plan import require_docker
from ci.plan.facts import DockerFacts, EngineFact, Facts
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.plan.select import select
from ci.record.phases import Emit

__all__ = ["with_docker", "with_image", "with_saved_image"]


def with_docker(
    catalog: Catalog,
    facts: Facts,
    request: Request,
    *,
    python: str,
    engine_id: str,
    planning_only: bool,
    elsewhere: bool,
    tell: Emit,
) -> Facts:
    """The facts with those of a container; unchanged when the request selects nothing, which the plan then says.

    `elsewhere` is for the plan of another machine.

    Raises:
        UsageError: the suites need different containers, no image is given, or the engine is on another machine.
        InfrastructureError: the plan is for a run, and the engine or its image is missing.
    """
    selection = select(catalog, facts, request, [])
    if not selection.suites:
        return facts
    suites = [selected.suite for selected in selection.suites]
    need = one_need(needs_of(catalog.containers, suites, facts.hardware_class))
    family = catalog.family_of(facts.hardware_class) if facts.hardware_class != CPU else ""
    ask = image_ask(
        catalog.images,
        family=family,
        today=facts.today,
        environ=facts.environ,
        image=request.image,
        rocm=request.rocm,
        suite_rocm=need.rocm,
    )
    host, _ = docker_host(facts.environ)
    if not planning_only:
        _require_here(facts.environ)
    if request.from_dockerfile:
        image = dockerfile_image(
            catalog,
            facts,
            flavour=ask.flavour,
            family=family,
            engine_host=host,
            build=not planning_only,
            tell=tell,
        )
    else:
        image = resolve_image(catalog, ask, facts.environ, engine_host=host)
    facts = with_image(catalog, facts, need, image, python=python, engine_id=engine_id, elsewhere=elsewhere)
    if not planning_only and facts.docker is not None:
        require_docker(facts.docker, strict=request.strict)
    return facts


def with_saved_image(
    catalog: Catalog, facts: Facts, saved: Plan, *, python: str, planning_only: bool
) -> Facts:
    """The facts with those of a container, for a plan that names its image: nothing is resolved again.

    Raises:
        UsageError: the plan's profile has no row here, or the engine is another machine's.
        InfrastructureError: the plan is for a run, and the engine is missing or the plan's image was never resolved.
    """
    work, place = saved.work.container, saved.placement.container
    if work is None or place is None:
        return facts
    profile = catalog.containers.profiles.get(work.profile)
    if profile is None:
        what = f"the plan's container profile {work.profile} has no row in containers.toml"
        raise UsageError(
            what, cause="it was made at another commit", then=f"git checkout {saved.work.commit}"
        )
    if not planning_only:
        _require_here(facts.environ)
    image = planned_image(
        catalog.images,
        place,
        config_digest=saved.work.image or "",
        flavour=work.flavour,
        labels={
            FLAVOUR_LABEL: work.flavour,
            PYTHON_LABEL: saved.placement.python,
            PYTHON_VERSION_LABEL: saved.placement.python_version,
            ENGINE_LABEL + catalog.engines[saved.work.engine].package: saved.work.engine_version,
        },
    )
    need = Need(profile=profile, rocm="")
    facts = with_image(catalog, facts, need, image, python=python, engine_id=saved.work.engine)
    if not planning_only and facts.docker is not None:
        require_docker(facts.docker, strict=False)
    return facts


def _require_here(environ: Mapping[str, str]) -> None:
    """Refuse an engine of another machine.

    Raises:
        UsageError: its containers could not see our folders.
    """
    host, source = docker_host(environ)
    if remote := remote_because(host):
        raise UsageError(
            f"{source} is {host}, and a run needs an engine of this machine",
            cause=f"{remote}; checkout and run folder are bind mounts",
            then="log in there and run it there, or unset DOCKER_HOST",
        )


def with_image(
    catalog: Catalog,
    facts: Facts,
    need: Need,
    image: ImageFact,
    *,
    python: str,
    engine_id: str,
    elsewhere: bool = False,
    sysroot: Path = Path("/"),
) -> Facts:
    """The facts with those of a container of a known image; `sysroot` replaces the machine's root folder.

    Raises:
        UsageError: a switch of a mount means neither on nor off.
    """
    container = gather_container_facts(
        catalog, need.profile, facts.environ, elsewhere=elsewhere, sysroot=sysroot
    )
    tree = None
    if facts.checkout is not None:
        tree = look_at_checkout(catalog.dependencies, Path(facts.root), facts.checkout)
    docker = DockerFacts(container=container, image=image, flavour=_flavour(catalog, image), tree=tree)
    engine = _engine(catalog, image, engine_id, python)
    # another machine's GPUs are planned, and its nodes are not here to be counted
    gpu_ids = facts.gpu_ids if elsewhere else _gpu_ids(facts.gpu_ids, container)
    return replace(facts, docker=docker, engines={engine_id: engine}, gpu_ids=gpu_ids)


def _flavour(catalog: Catalog, image: ImageFact) -> str:
    """A row of dependencies.toml, empty when the image does not tell: the container is asked then."""
    flavour = image.flavour or image.labels.get(FLAVOUR_LABEL, "")
    return flavour if flavour in catalog.dependencies.flavours else ""


def _engine(catalog: Catalog, image: ImageFact, engine_id: str, given: str) -> EngineFact:
    """The interpreter inside and the engine in it, as far as the image's labels tell."""
    labels: Mapping[str, str] = image.labels
    row = catalog.images.flavours.get(image.flavour)
    if given:
        python, source = given, "--python"
    elif PYTHON_LABEL in labels:
        python, source = labels[PYTHON_LABEL], f"the image's label {PYTHON_LABEL}"
    elif row is not None:
        python, source = row.python, f"images.toml: flavour[{row.id}]"
    else:
        python, source = "python3", "default: on the image's own PATH"
    label = ENGINE_LABEL + catalog.engines[engine_id].package
    version = labels.get(label, "")
    told = f"the image's label {label}" if version else "the image has no label for it: found when it runs"
    return EngineFact(
        python=python,
        python_version=labels.get(PYTHON_VERSION_LABEL, ""),
        engine_version=version,
        source=f"{source}; version: {told}",
    )


def _gpu_ids(found: tuple[str, ...], container: ContainerFacts) -> tuple[str, ...]:
    """Numbers as the container sees them: from 0, as many as it has render nodes."""
    nodes = sum(device.path.rpartition("/")[2].startswith("renderD") for device in container.devices)
    return tuple(str(number) for number in range(min(nodes, len(found))))
