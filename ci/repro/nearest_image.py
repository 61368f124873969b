"""A plan whose image is gone: saying so, and which of the images that are there comes nearest."""

from collections.abc import Sequence

from ci.errors import UsageError
from ci.plan.container.image import ImageFact

__all__ = ["nearest_image", "require_image"]


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
        then=f"add --image {nearest.pinned} to the line as it was asked for",
    )


def _words(reference: str) -> list[str]:
    """`v0.5.15-rocm700-mi30x-20260715` in parts; a digest says nothing about likeness."""
    return reference.partition("@")[0].replace(":", "-").replace("/", "-").split("-")


def _shared(one: Sequence[str], two: Sequence[str]) -> int:
    return len(set(one) & set(two))
