"""The image verbs: from an operator's options to what `ci.images` does."""

from collections.abc import Mapping

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.images import mirror_for
from ci.catalog.toml_reader import closest
from ci.cli.verb_options import ImageOptions, MirrorOptions, PruneImagesOptions
from ci.docker.client import docker_host
from ci.errors import UsageError
from ci.facts.container_host import pool_of
from ci.facts.gather import find_hardware, find_today
from ci.images.pull import Pulled, pull_image
from ci.images.resolve import resolve_image
from ci.images.store import mirror_image, prune_images
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import ImageFact, require_image
from ci.record.events import Note
from ci.report.views.images import (
    show_image,
    show_mirrored,
    show_old_images,
    show_progress,
    show_pulled,
)
from ci.system.signals import stop_requested

__all__ = ["mirror_verb", "prune_verb", "pull_verb", "resolve_verb"]


def resolve_verb(environ: Mapping[str, str], options: ImageOptions) -> None:
    """Show which image a run would use, and why no other.

    Raises:
        InfrastructureError: there is none, or it is stale and `strict`.
    """
    image = _resolve(load_catalog(), environ, options)
    show_image(environ, image, as_json=options.json)
    require_image(image, strict=options.strict)


def pull_verb(environ: Mapping[str, str], options: ImageOptions) -> None:
    """Have the image in the local store."""
    catalog = load_catalog()
    image = _resolve(catalog, environ, options)
    require_image(image, strict=options.strict)
    mirror, source = mirror_for(catalog.images, pool_of(catalog, environ), environ)
    show_progress(Note(text=f"mirror: {mirror or 'none'} ({source})"))
    show_pulled(environ, image, _pull(catalog, environ, image, mirror), as_json=options.json)


def mirror_verb(environ: Mapping[str, str], options: MirrorOptions) -> None:
    """Copy the image to a mirror: from the public registry, never from the mirror itself.

    Raises:
        UsageError: no mirror to copy to.
    """
    catalog = load_catalog()
    mirror, source = options.to, "--to"
    if not mirror:
        mirror, source = mirror_for(catalog.images, pool_of(catalog, environ), environ)
    if not mirror:
        raise UsageError("no mirror to copy to", cause=source, then="./inv image.mirror --to HOST:PORT")
    image = _resolve(catalog, environ, options)
    require_image(image, strict=options.strict)
    show_progress(Note(text=f"mirror: {mirror} ({source})"))
    pulled = _pull(catalog, environ, image, "")
    mirrored = mirror_image(
        image,
        pulled.local_id,
        mirror,
        catalog=catalog,
        engine_host=docker_host(environ)[0],
        emit=show_progress,
    )
    show_mirrored(environ, mirrored, as_json=options.json)


def prune_verb(environ: Mapping[str, str], options: PruneImagesOptions) -> None:
    """Remove old images of our repository.

    Raises:
        UsageError: a count is none.
    """
    catalog = load_catalog()
    older_days = _count("--older", options.older, catalog.limits.policy.image_prune_days)
    images, freed_bytes = prune_images(
        catalog,
        engine_host=docker_host(environ)[0],
        today=find_today(environ)[0],
        older_days=older_days,
        keep=_count("--keep", options.keep, catalog.limits.policy.image_prune_keep),
        dry=options.dry,
    )
    show_old_images(environ, images, freed_bytes, dry=options.dry, as_json=options.json)


def _count(option: str, text: str, default: float) -> int:
    if not text:
        return int(default)
    if not text.isdecimal():
        raise UsageError(f"{option} is {text!r}, not a whole number", then="./inv --help image.prune")
    return int(text)


def _resolve(catalog: Catalog, environ: Mapping[str, str], options: ImageOptions) -> ImageFact:
    family = options.family
    if not family:
        family = catalog.family_of(find_hardware(catalog, environ).cls)
    elif family not in catalog.hardware.families:
        cause = closest(family, catalog.hardware.families)
        raise UsageError(f"unknown family {family!r}", cause=cause, then="cat ci/catalog/hardware.toml")
    request = image_request(
        catalog.images,
        family="" if family not in catalog.hardware.families else family,
        today=find_today(environ)[0],
        environ=environ,
        image=options.image,
        rocm=options.rocm,
        flavour=options.flavour,
    )
    return resolve_image(catalog, request, environ, engine_host=docker_host(environ)[0])


def _pull(catalog: Catalog, environ: Mapping[str, str], image: ImageFact, mirror: str) -> Pulled:
    """Pull, and stop calmly when a signal asks for it."""
    return pull_image(
        image,
        catalog=catalog,
        engine_host=docker_host(environ)[0],
        mirror=mirror,
        environ=environ,
        emit=show_progress,
        stopped=stop_requested(),
        who="inv image",
    )
