"""The image of each family and flavour, found once for all jobs of a run: no shard may look for itself as the day turns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from ci.catalog.catalog import Catalog
from ci.errors import InfrastructureError, Problem
from ci.plan.container.image import ImageRequest, image_request, parse_reference
from ci.plan.container.image_fact import ImageFact

__all__ = ["PlannedImage", "PlannedImages"]

# looks for an image; what cannot be found comes back with its problem
Resolve = Callable[[ImageRequest], ImageFact]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImage:
    """What the jobs of a family and flavour get: `image` is `name:tag@sha256:...`, empty when it was not found.

    `age_days` is None for an image whose tag has no date. `problem` says why there is none.
    """

    family: str
    rocm: str
    image: str
    config_digest: str
    age_days: int | None
    source: str
    problem: str
    stale: str

    @property
    def note(self) -> str:
        """The row in a sentence."""
        age = f", {self.age_days} days old" if self.age_days is not None else ""
        found = f"{self.image} ({self.source}{age})" if self.image else f"none: {self.problem}"
        return f"image of {self.family}, rocm{self.rocm}: {found}"


@dataclass(slots=True, kw_only=True)
class PlannedImages:
    """Called for each job, resolves each family and flavour once. With `look` false no image is looked for."""

    catalog: Catalog
    environ: Mapping[str, str]
    today: date
    look: bool
    resolve: Resolve
    found: dict[tuple[str, str], PlannedImage] = field(default_factory=dict)
    notes_of_looks: tuple[str, ...] = ()

    def of(self, family: str, rocm: str) -> str:
        """The image's pinned name, empty when there is none.

        Raises:
            UsageError: what names the image is invalid.
        """
        key = (family, rocm)
        if key not in self.found:
            self.found[key] = self._find(family, rocm)
        return self.found[key].image

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the reader; a stale image has a line of its own."""
        rows = tuple(self.found.values())
        stale = tuple(dict.fromkeys(row.stale for row in rows if row.stale))
        return (*stale, *(row.note for row in rows), *self.notes_of_looks)

    def require(self) -> None:
        """Refuse jobs without an image, each of which would look for its own.

        Raises:
            InfrastructureError: with every family and flavour of which none was found.
        """
        missing = [row for row in self.found.values() if not row.image]
        if not self.look or not missing:
            return
        raise InfrastructureError(
            "the jobs have no image",
            problems=[Problem(where=f"{row.family}, rocm{row.rocm}", what=row.problem) for row in missing],
            cause="each job would resolve its own image, and shards of one suite could run in different ones",
            then=f"./inv image.resolve --family {missing[0].family} --rocm {missing[0].rocm}; then start the run again",
        )

    def _find(self, family: str, rocm: str) -> PlannedImage:
        request = image_request(
            self.catalog.images, family=family, today=self.today, environ=self.environ, rocm=rocm
        )
        if request.override and parse_reference(request.override).digest:
            # a digest means the same to every job; the job that pulls it compares it
            return self._row(
                family, rocm, image=request.override, source=f"{request.override_source}, pinned there"
            )
        if not self.look:
            return self._row(
                family, rocm, problem="not looked for outside of Actions: --images asks the registry"
            )
        fact = self.resolve(request)
        self.notes_of_looks += tuple(note for note in fact.notes if note not in self.notes_of_looks)
        if not fact.config_digest:
            return self._row(family, rocm, source=fact.source, problem=fact.problem)
        # with the tag: a mirror is asked by it, and it bears family and day
        name = fact.reference.partition("@")[0]
        return PlannedImage(
            family=family,
            rocm=rocm,
            image=f"{name}@{fact.manifest_digest}" if fact.manifest_digest else fact.reference,
            config_digest=fact.config_digest,
            age_days=fact.age_days,
            source=fact.source,
            problem="",
            stale=fact.stale_note,
        )

    def _row(
        self, family: str, rocm: str, *, image: str = "", source: str = "", problem: str = ""
    ) -> PlannedImage:
        return PlannedImage(
            family=family,
            rocm=rocm,
            image=image,
            config_digest="",
            age_days=None,
            source=source,
            problem=problem,
            stale="",
        )
