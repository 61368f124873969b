"""An image as it was found, made in one place: by a registry, the engine's store, a plan, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ci.catalog.images import ImageCatalog
from ci.errors import InfrastructureError, Problem
from ci.plan.container.image import Candidate, flavour_row, parse_reference, tag_date, tag_part
from ci.plan.container.inside import STAMP
from ci.plan.container.needs import ContainerPlace

__all__ = [
    "ENGINE_LABEL",
    "FLAVOUR_LABEL",
    "PYTHON_LABEL",
    "PYTHON_VERSION_LABEL",
    "ImageFact",
    "env_of",
    "image_fact",
    "local_image",
    "planned_image",
    "require_image",
]

# labels of images that are built here; the engine's has the name of its package at the end
FLAVOUR_LABEL = "ci.flavour"
PYTHON_LABEL = "ci.python"
PYTHON_VERSION_LABEL = "ci.python_version"
ENGINE_LABEL = "ci.engine."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFact:
    """An image as it was found.

    `reference` is what the daemon pulls by tag, `manifest_digest` what it is pinned by in its own registry (empty for an
    image that only the local store has), `config_digest` its identity wherever it is copied to (empty: unresolved, and
    `problem` says why). `labels` and `env` are the image's own. `size_bytes` is what a pull transfers. `age_days` is None for
    an image whose tag has no date; `stale_after_days` is the row that it was judged by. `notes` are for the
    reader; `local` are lines that say which images of the local store could be named instead.
    """

    reference: str
    manifest_digest: str
    config_digest: str
    flavour: str
    labels: Mapping[str, str]
    env: Mapping[str, str]
    size_bytes: int
    age_days: int | None
    stale_after_days: int
    candidates: tuple[Candidate, ...]
    source: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    local: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """`name@sha256:...` where a registry has it, else the reference."""
        name = self.reference.partition("@")[0]
        last = name.rpartition("/")[2]
        if ":" in last:
            name = name.rpartition(":")[0]
        return f"{name}@{self.manifest_digest}" if self.manifest_digest else self.reference

    @property
    def stale(self) -> bool:
        """Whether it is older than the catalog allows."""
        return self.age_days is not None and self.age_days > self.stale_after_days

    @property
    def stale_note(self) -> str:
        """The warning about its age, empty when it is not stale."""
        if not self.stale:
            return ""
        return (
            f"STALE IMAGE: {self.reference} is {self.age_days} days old, the catalog allows {self.stale_after_days}: "
            "tests would not run against the current image"
        )


def image_fact(
    images: ImageCatalog,
    reference: str,
    *,
    source: str,
    config_digest: str = "",
    manifest_digest: str = "",
    flavour: str = "",
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    size_bytes: int = 0,
    today: date | None = None,
    candidates: tuple[Candidate, ...] = (),
    problem: str = "",
    notes: tuple[str, ...] = (),
    local: tuple[str, ...] = (),
) -> ImageFact:
    """The fact of an image; without `config_digest` it is unresolved.

    Its flavour is the one that is given, else what its tag, its label or its stamp says. It has an age on the day `today`
    when its tag bears a date and it was found.
    """
    tag = parse_reference(reference).tag
    labels, env = labels or {}, env or {}
    flavour = (
        flavour
        or tag_part(images, tag, "flavour")
        or labels.get(FLAVOUR_LABEL, "")
        or images.flavour_of_stage(env.get(STAMP, ""))
    )
    day = tag_date(images, tag)
    if tag_part(images, tag, "flavour") not in ("", *images.flavours):
        notes = (*notes, f"{flavour} has no row: add {flavour_row(flavour)}")
    return ImageFact(
        reference=reference,
        manifest_digest=manifest_digest,
        config_digest=config_digest,
        flavour=flavour,
        labels=labels,
        env=env,
        size_bytes=size_bytes,
        age_days=(today - day).days if day is not None and today is not None and config_digest else None,
        stale_after_days=(images.flavours.get(flavour) or images.default_flavour).stale_after_days,
        candidates=candidates,
        source=source,
        problem=problem,
        notes=notes,
        local=local,
    )


def env_of(items: object) -> Mapping[str, str]:
    """`["K=V", ...]` of an image's config as a mapping."""
    pairs = (str(item).partition("=") for item in items) if isinstance(items, list) else ()
    return {name: value for name, _, value in pairs}


def local_image(
    images: ImageCatalog,
    reference: str,
    row: Mapping[str, Any],
    *,
    source: str,
    today: date | None = None,
    notes: tuple[str, ...] = (),
) -> ImageFact:
    """An image of the local store; `row` is the engine's answer when it lists or inspects the image."""
    config = row.get("Config") or row
    return image_fact(
        images,
        reference,
        source=source,
        config_digest=str(row["Id"]),
        labels={str(key): str(value) for key, value in (config.get("Labels") or {}).items()},
        env=env_of(config.get("Env")),
        size_bytes=int(row.get("Size") or 0),
        today=today,
        notes=notes,
    )


def planned_image(
    images: ImageCatalog,
    place: ContainerPlace,
    *,
    config_digest: str,
    flavour: str,
    labels: Mapping[str, str] | None = None,
) -> ImageFact:
    """The image that a plan names: nothing is resolved again, and it is never stale."""
    found = image_fact(
        images,
        place.image,
        source="the plan",
        config_digest=config_digest,
        manifest_digest=place.image_pinned.partition("@")[2],
        flavour=flavour,
        labels=labels,
        size_bytes=place.image_bytes,
        candidates=place.image_candidates,
    )
    return replace(found, age_days=place.image_age_days, stale_after_days=place.image_age_days or 0)


def require_image(image: ImageFact, *, strict: bool) -> None:
    """Refuse an image that a run cannot use.

    Raises:
        InfrastructureError: it is unresolved, or stale and `strict`.
    """
    if not image.config_digest:
        problems = [Problem(where=row.tag, what=row.refused) for row in image.candidates if row.count == 1]
        counted = [
            Problem(where=f"{row.count} others, e.g. {row.tag}", what=row.refused)
            for row in image.candidates
            if row.count > 1
        ]
        local = [Problem(where="local store", what=line) for line in image.local]
        raise InfrastructureError(
            f"no image could be resolved: {image.problem}",
            cause="the registry does not answer, and no older image is used instead"
            if image.local
            else "the registry cannot be reached or has nothing recent, and no other image is used instead",
            then="name the image: add --image REF, or --image sha256:ID for one in the local store",
            problems=[*local, *problems, *counted],
        )
    if strict and image.stale:
        raise InfrastructureError(
            image.stale_note,
            cause="--strict: the nightly image has not been built, or was published under another name",
            then="./inv image.resolve; to run with it, leave out --strict",
        )
