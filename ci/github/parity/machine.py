"""The machine that parity plans for: no GPU, no engine and no registry is needed to say what two sides would do there."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.facts.container import with_image
from ci.plan.container.image import image_ask, parse_reference
from ci.plan.container.image_fact import image_fact
from ci.plan.container.needs import needs_of, one_need
from ci.plan.container.plan import docker_facts
from ci.plan.facts import Facts
from ci.plan.request import Request
from ci.plan.select import select

__all__ = ["PLACEHOLDER", "contained", "furnish", "stand_in_image"]

# what the sources of a plan say about an image that was never looked for
PLACEHOLDER = "a placeholder of parity: no registry was asked"


def furnish(catalog: Catalog, folder: Path) -> Path:
    """A folder that holds every path that the rows of containers.toml mount."""
    for row in catalog.containers.mounts.values():
        # a pattern matches any name that begins with the part before its star
        here = folder / row.path.replace("*", ".1").lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.touch()
    return folder


def stand_in_image(catalog: Catalog, family: str, rocm: str) -> str:
    """What a plan job would hand out for a family and a flavour, with a made-up digest: both sides get the same."""
    name = f"{catalog.images.registry}/{catalog.images.repository}"
    return f"{name}@{_digest(f'{family} rocm{rocm}')}"


def contained(
    catalog: Catalog, facts: Facts, request: Request, environ: Mapping[str, str], sysroot: Path
) -> Facts:
    """The facts with a container of the image that the side names, unchanged when nothing is selected.

    An image that is not given gets a digest of its own, so that a side that loses the pin differs.

    Raises:
        UsageError: the suites need different containers, or the image is invalid.
    """
    selection = select(catalog, facts, request, [])
    if not selection.suites:
        return facts
    suites = [selected.suite for selected in selection.suites]
    need = one_need(needs_of(catalog.containers, suites, facts.hardware_class))
    ask = image_ask(
        catalog.images,
        family=catalog.family_of(facts.hardware_class),
        today=facts.today,
        environ=environ,
        image=request.image,
        rocm=request.rocm,
        suite_rocm=need.rocm,
    )
    named = ask.override or f"{catalog.images.repository}:newest-{ask.flavour}-{ask.family}"
    reference = parse_reference(named)
    image = image_fact(
        catalog.images,
        reference.text,
        source=f"{ask.override_source or ask.flavour_source}: {PLACEHOLDER}",
        config_digest=_digest(named),
        manifest_digest=reference.digest,
        flavour=ask.flavour,
    )
    engine = (
        request.engine if request.engine in catalog.engines else catalog.default_engine(facts.hardware_class)
    )
    found = with_image(
        catalog, facts, need, image, python="", engine_id=engine, elsewhere=True, sysroot=sysroot
    )
    docker = docker_facts(found)
    # the disk below the folder is this machine's, and fills while we look
    return replace(found, docker=replace(docker, container=replace(docker.container, cache_free_bytes=None)))


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(f'parity {text}'.encode()).hexdigest()}"
