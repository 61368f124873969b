"""Whether the image of a plan that is to be repeated is still there, and which is nearest when it is not."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date

from ci.catalog.catalog import Catalog
from ci.catalog.images import ImageCatalog
from ci.docker.client import IMAGE_ANSWER_S, EngineError, connect, docker_host, faults
from ci.errors import CiError, InfrastructureError, UsageError
from ci.images.registry import RegistryError
from ci.images.resolve import open_registry, resolve_image
from ci.plan.container.image import image_request, parse_reference
from ci.plan.container.image_fact import ImageFact, local_image
from ci.plan.model import Plan

__all__ = ["check_image", "nearest_image", "require_image"]


def check_image(plan: Plan, catalog: Catalog, environ: Mapping[str, str], *, today: date) -> str:
    """Where the plan's image is, in words; also that it could not be found out, with the reason.

    Raises:
        UsageError: neither the local store nor its registry has it any more; with the nearest one.
    """
    place, wanted = plan.placement.container, plan.work.image
    if place is None or not wanted:
        return ""
    here, listed, silent = _local(catalog.images, environ, (wanted, place.image_pinned))
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


def _local(
    images: ImageCatalog, environ: Mapping[str, str], names: tuple[str, ...]
) -> tuple[bool, list[ImageFact], str]:
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
                [
                    local_image(images, tag, row, source="in the local store")
                    for row in client.api.images()
                    for tag in row["RepoTags"] or ()
                    if "<none>" not in tag
                ],
                "",
            )
    except InfrastructureError as error:
        return False, [], error.what
    except EngineError as error:
        return False, [], error.text


def _newest(plan: Plan, catalog: Catalog, environ: Mapping[str, str], today: date) -> list[ImageFact]:
    """The newest of the plan's flavour and hardware; none for a rehearsal, which has no published image."""
    work = plan.work.container
    family = catalog.family_of(plan.work.hardware_class)
    if work is None or work.flavour not in catalog.images.flavours:
        return []
    # an override in the environment would be found instead of what is published
    variables = {row.variable for row in catalog.images.overrides}
    bare = {name: value for name, value in environ.items() if name not in variables}
    request = image_request(catalog.images, family=family, today=today, environ=bare, flavour=work.flavour)
    try:
        found = resolve_image(catalog, request, bare, engine_host=docker_host(bare)[0])
    except CiError:
        return []
    return [found] if found.config_digest else []


def nearest_image(wanted: str, candidates: Sequence[ImageFact]) -> ImageFact | None:
    """The candidate most like the image that is wanted: the same flavour, then the nearest in the rest of the name."""
    usable = [fact for fact in candidates if fact.config_digest and not fact.problem]
    if not usable:
        return None
    return max(
        usable, key=lambda fact: (_shared(_words(wanted), _words(fact.reference)), -(fact.age_days or 0))
    )


def require_image(wanted: str, candidates: Sequence[ImageFact]) -> None:
    """Nothing when an image with this config digest is among the candidates.

    `wanted` is the plan's config digest, or the reference with it at its end.

    Raises:
        UsageError: it is not, with the nearest one and what a run with it would not be.
    """
    digest = wanted.rpartition("@")[2]
    if any(fact.config_digest == digest for fact in candidates):
        return
    nearest = nearest_image(wanted, candidates)
    if nearest is None:
        raise UsageError(
            f"the plan's image {wanted} no longer exists",
            cause="neither the local store nor a registry has it, and no other image was found",
            then="./inv image.resolve",
        )
    raise UsageError(
        f"the plan's image {wanted} no longer exists",
        cause=f"the nearest is {nearest.pinned} ({nearest.source}); a run with it is another run: its digest differs",
        then=f"add --image {nearest.pinned} to the original command",
    )


def _words(reference: str) -> list[str]:
    """`v0.5.15-rocm700-mi30x-20260715` in parts; a digest says nothing about likeness."""
    return reference.partition("@")[0].replace(":", "-").replace("/", "-").split("-")


def _shared(one: Sequence[str], two: Sequence[str]) -> int:
    return len(set(one) & set(two))
