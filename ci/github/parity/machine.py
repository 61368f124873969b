"""The machine that parity plans for: no GPU, no engine and no registry is needed to say what two sides would do there."""

import hashlib
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.facts.container import look_at_container
from ci.plan.container.image import ImageRequest, parse_reference
from ci.plan.container.image_fact import image_fact
from ci.plan.executor import ContainerNeed
from ci.plan.facts import DockerFacts, Facts

__all__ = ["PLACEHOLDER", "furnish", "stand_in_container", "stand_in_image"]

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


def stand_in_container(catalog: Catalog, facts: Facts, need: ContainerNeed, sysroot: Path) -> DockerFacts:
    """The facts of a container of the image that the side names.

    An image that no side names is one of its own, so that a side that loses the pin differs.

    Raises:
        UsageError: the image's name is invalid.
    """
    image = need.image
    if isinstance(image, ImageRequest):
        named = image.override or f"{catalog.images.repository}:newest-{image.flavour}-{image.family}"
        reference = parse_reference(named)
        image = image_fact(
            catalog.images,
            reference.text,
            source=f"{image.override_source or image.flavour_source}: {PLACEHOLDER}",
            config_digest=_digest(named),
            manifest_digest=reference.digest,
            flavour=image.flavour,
        )
    found = look_at_container(catalog, facts, need, image, sysroot=sysroot)
    # the disk below the folder is this machine's, and fills while we look
    return replace(found, container=replace(found.container, cache_free_bytes=None))


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(f'parity {text}'.encode()).hexdigest()}"
