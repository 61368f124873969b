"""Whether the image of a plan that is to be repeated is still there, and which is nearest when it is not."""

from collections.abc import Mapping
from contextlib import closing
from datetime import date
from typing import Any

from ci.catalog.catalog import Catalog
from ci.docker.client import IMAGE_ANSWER_S, EngineError, connect, docker_host, faults
from ci.errors import CiError, InfrastructureError
from ci.images.registry import RegistryError
from ci.images.resolve import open_registry, resolve_image
from ci.plan.container.image import ImageFact, image_ask, parse_reference
from ci.plan.model import Plan
from ci.repro.nearest_image import require_image

__all__ = ["check_image"]


def check_image(plan: Plan, catalog: Catalog, environ: Mapping[str, str], *, today: date) -> str:
    """Where the plan's image is, in words; also that it could not be found out, with the reason.

    Raises:
        UsageError: neither the local store nor its registry has it any more; with the nearest one.
    """
    place, wanted = plan.placement.container, plan.work.image
    if place is None or not wanted:
        return ""
    here, listed, silent = _local(environ, (wanted, place.image_pinned))
    if here:
        return "the local store has it"
    reference = parse_reference(place.image_pinned)
    if reference.digest:
        try:
            with open_registry(catalog, reference.registry, environ) as registry:
                if registry.exists(reference.path, reference.digest):
                    return f"{reference.registry} has it"
        except RegistryError as error:
            return f"not known whether it is still there: {error.text}"
    elif silent:
        return f"not known whether it is still there: {silent}"
    require_image(f"{place.image}@{wanted}", [*listed, *_newest(plan, catalog, environ, today)])
    return "found under another name"


def _local(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[bool, list[ImageFact], str]:
    """Whether the local store has one of the names, else all that have a tag; and why it could not be asked."""
    host, _ = docker_host(environ)
    try:
        with closing(connect(host, timeout_s=IMAGE_ANSWER_S)) as client, faults():
            for name in names:
                try:
                    with faults():
                        client.api.inspect_image(name)
                except EngineError as error:
                    if error.status != 404:
                        raise
                else:
                    return True, [], ""
            return (
                False,
                [_fact(row, tag) for row in client.api.images() for tag in row["RepoTags"] or ()],
                "",
            )
    except InfrastructureError as error:
        return False, [], error.what
    except EngineError as error:
        return False, [], error.text


def _fact(row: Mapping[str, Any], tag: str) -> ImageFact:
    return ImageFact(
        reference=tag,
        manifest_digest="",
        config_digest=str(row["Id"]),
        flavour="",
        labels={},
        env={},
        size_bytes=int(row.get("Size") or 0),
        age_days=None,
        stale_after_days=0,
        candidates=(),
        source="in the local store",
    )


def _newest(plan: Plan, catalog: Catalog, environ: Mapping[str, str], today: date) -> list[ImageFact]:
    """The newest of the plan's flavour and hardware; none for a rehearsal, which has no published image."""
    work = plan.work.container
    family = catalog.family_of(plan.work.hardware_class) or ""
    if work is None or not family or work.flavour not in catalog.images.flavours:
        return []
    # an override in the environment would be found instead of what is published
    variables = {row.variable for row in catalog.images.overrides}
    bare = {name: value for name, value in environ.items() if name not in variables}
    ask = image_ask(catalog.images, family=family, today=today, environ=bare, flavour=work.flavour)
    try:
        found = resolve_image(catalog, ask, bare, engine_host=docker_host(bare)[0])
    except CiError:
        return []
    return [found] if found.config_digest else []
