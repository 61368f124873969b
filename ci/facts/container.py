"""The facts of a container run: the image, what this machine has for a container, what the checkout asks for."""

from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.docker.client import docker_host, remote_because
from ci.errors import UsageError
from ci.facts.container_host import gather_container_facts
from ci.facts.dockerfile import look_at_checkout
from ci.facts.gather import Place
from ci.images.build_sglang import dockerfile_image
from ci.images.resolve import resolve_image
from ci.plan.container.image_fact import (
    ENGINE_LABEL,
    FLAVOUR_LABEL,
    PYTHON_LABEL,
    PYTHON_VERSION_LABEL,
    ImageFact,
)
from ci.plan.executor import ContainerNeed
from ci.plan.facts import DockerFacts, EngineFact, Facts

__all__ = ["gather_container", "look_at_container"]


def gather_container(catalog: Catalog, facts: Facts, need: ContainerNeed, place: Place) -> DockerFacts:
    """Find the image that is needed, and what this machine has for a container of it.

    Raises:
        UsageError: the engine is another machine's, or the checkout cannot be built for this hardware.
        InfrastructureError: the image has to be built, and that failed.
    """
    engine_host, source = docker_host(facts.environ)
    if not place.planning_only:
        _require_local(engine_host, source)
    image = _find_image(catalog, facts, need, place, engine_host)
    return look_at_container(catalog, facts, need, image, python=place.python)


def look_at_container(
    catalog: Catalog,
    facts: Facts,
    need: ContainerNeed,
    image: ImageFact,
    *,
    python: str = "",
    sysroot: Path = Path("/"),
) -> DockerFacts:
    """What a container of an image that is known would have; `sysroot` stands for the machine's root folder.

    Raises:
        UsageError: a switch of a mount is neither on nor off, or a file of the checkout cannot be read.
    """
    container = gather_container_facts(
        catalog, need.profile, facts.environ, elsewhere=need.elsewhere, sysroot=sysroot
    )
    tree = None
    if facts.checkout is not None:
        tree = look_at_checkout(catalog.dependencies, Path(facts.root), facts.checkout)
    flavour = image.flavour or image.labels.get(FLAVOUR_LABEL, "")
    return DockerFacts(
        container=container,
        # one that we made is seen in the container at its own path
        engine=facts.engines[need.engine]
        if facts.engine_build
        else _engine(catalog, image, need.engine, python),
        image=image,
        flavour=flavour if flavour in catalog.dependencies.flavours else "",
        tree=tree,
    )


def _require_local(engine_host: str, source: str) -> None:
    """Refuse an engine of another machine.

    Raises:
        UsageError: its containers could not see our folders.
    """
    if remote := remote_because(engine_host):
        raise UsageError(
            f"{source} is {engine_host}, and a run needs an engine of this machine",
            cause=f"{remote}; checkout and run folder are bind mounts",
            then="log in there and run it there, or unset DOCKER_HOST",
        )


def _find_image(
    catalog: Catalog, facts: Facts, need: ContainerNeed, place: Place, engine_host: str
) -> ImageFact:
    if isinstance(need.image, ImageFact):
        return need.image
    if need.from_dockerfile:
        return dockerfile_image(
            catalog,
            facts,
            flavour=need.image.flavour,
            family=need.image.family,
            engine_host=engine_host,
            build=not place.planning_only,
            tell=place.tell,
        )
    return resolve_image(catalog, need.image, facts.environ, engine_host=engine_host)


def _engine(catalog: Catalog, image: ImageFact, engine_id: str, given: str) -> EngineFact:
    """The interpreter inside and the engine in it, as far as the image's labels say."""
    row = catalog.images.flavours.get(image.flavour)
    if given:
        python, source = given, "--python"
    elif PYTHON_LABEL in image.labels:
        python, source = image.labels[PYTHON_LABEL], f"the image's label {PYTHON_LABEL}"
    elif row is not None:
        python, source = row.python, f"images.toml: flavour[{row.id}]"
    else:
        python, source = "python3", "default: on the image's own PATH"
    label = ENGINE_LABEL + catalog.engines[engine_id].package
    version = image.labels.get(label, "")
    version_source = (
        f"the image's label {label}" if version else "the image has no label for it: found when it runs"
    )
    return EngineFact(
        python=python,
        python_version=image.labels.get(PYTHON_VERSION_LABEL, ""),
        engine_version=version,
        source=f"{source}; version: {version_source}",
    )
