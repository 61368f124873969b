"""What operators do with images: copy one to a mirror, and remove old ones of this host."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from ci.catalog.catalog import Catalog
from ci.catalog.images import ImageCatalog
from ci.docker.client import IMAGE_ANSWER_S, Client, EngineError, connect, faults
from ci.errors import InfrastructureError, UsageError
from ci.images.progress import Progress
from ci.images.pull_process import PROGRESS_EVERY_S
from ci.images.registry import RegistryError
from ci.images.resolve import open_registry, patiently
from ci.plan.container.image import Reference, parse_reference, tag_date
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Note
from ci.record.phases import Emit
from ci.system import clock

__all__ = ["Mirrored", "OldImage", "choose_old", "mirror_image", "prune_images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A copy that was verified; `pushed` is false when the mirror had it already."""

    reference: str
    manifest_digest: str
    config_digest: str
    pushed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OldImage:
    """A local image of our repository; `kept` says why it stays, empty for one that goes."""

    id: str
    names: tuple[str, ...]
    age_days: int
    size_bytes: int
    kept: str


def mirror_image(
    image: ImageFact,
    local_id: str,
    mirror: str,
    *,
    catalog: Catalog,
    engine_host: str,
    emit: Emit,
    sleep_s: Callable[[float], None] = clock.sleep_s,
    monotonic_s: Callable[[], float] = clock.monotonic_s,
) -> Mirrored:
    """Push a local image to the mirror under its own name and tag, and ask the mirror what it has then.

    Nothing is pushed when the mirror has it.

    Raises:
        UsageError: it has no tag.
        InfrastructureError: the push failed, or the mirror has another image under that tag afterwards.
    """
    reference = parse_reference(image.reference)
    if not reference.tag:
        raise UsageError(
            f"{image.reference} has no tag", cause="a mirror is pulled by tag", then="name it by its tag"
        )
    copy = Reference(registry=mirror, path=reference.path, tag=reference.tag, digest="")
    copier = _Copier(
        image=image, copied=copy, catalog=catalog, emit=emit, sleep_s=sleep_s, monotonic_s=monotonic_s
    )
    try:
        with closing(connect(engine_host, timeout_s=IMAGE_ANSWER_S)) as client, faults():
            return copier.copy(client, local_id)
    except (EngineError, RegistryError) as error:
        raise copier.failed(error.text) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copier:
    """One image on its way to one mirror."""

    image: ImageFact
    copied: Reference
    catalog: Catalog
    emit: Emit
    sleep_s: Callable[[float], None]
    monotonic_s: Callable[[], float]

    def copy(self, client: Client, local_id: str) -> Mirrored:
        plain = _is_plain(client, self.copied.registry)
        try:
            there = self._look(plain=plain)
        except RegistryError as error:
            if error.status != 404:
                raise
            there = ""
        if there:
            return self._mirrored(there, pushed=False)
        self._push(client, local_id)
        there = self._look(plain=plain)
        if not there:
            raise self.failed(f"after the push it is not {self.image.config_digest}")
        return self._mirrored(there, pushed=True)

    def _look(self, *, plain: bool) -> str:
        """The manifest digest of the copy, empty when the mirror has another image there.

        A mirror is asked without credentials, as the engine pulls from it.
        """
        with open_registry(self.catalog, self.copied.registry, {}, plain=plain) as registry:
            found = patiently(
                lambda: registry.resolve(self.copied),
                self.catalog.limits.registry,
                sleep_s=self.sleep_s,
                note=lambda text: self.emit(Note(text=text)),
            )
        return found.manifest_digest if found.config_digest == self.image.config_digest else ""

    def _push(self, client: Client, local_id: str) -> None:
        """Tag and push; the engine says most failures as an event."""
        progress = Progress(0)
        shown_s = self.monotonic_s()
        client.api.tag(local_id, self.copied.name, tag=self.copied.tag, force=True)
        for event in client.api.push(self.copied.name, tag=self.copied.tag, stream=True, decode=True):
            if "error" in event:
                raise self.failed(str(event["error"]))
            now = self.monotonic_s()
            progress.feed(event, now)
            if now - shown_s >= PROGRESS_EVERY_S:
                shown_s = now
                self.emit(progress.event("mirror", self.copied.registry))

    def _mirrored(self, manifest_digest: str, *, pushed: bool) -> Mirrored:
        return Mirrored(
            reference=self.copied.text,
            manifest_digest=manifest_digest,
            config_digest=self.image.config_digest,
            pushed=pushed,
        )

    def failed(self, cause: str) -> InfrastructureError:
        return InfrastructureError(
            f"{self.copied.text} could not be mirrored",
            cause=cause,
            then="try again: ./inv image.mirror; docker info",
        )


def prune_images(
    catalog: Catalog, *, engine_host: str, today: date, older_days: int, keep: int, dry: bool
) -> tuple[tuple[OldImage, ...], int]:
    """Remove local images of our repository that are old, unused and not among the newest.

    Returns every image that was looked at, and the bytes that the store has shrunk by (0 when `dry`).

    Raises:
        UsageError: a negative number.
        InfrastructureError: the engine cannot say what it has.
    """
    if older_days < 0 or keep < 0:
        raise UsageError("--older and --keep must not be negative", then="./inv image.prune --dry")
    try:
        with closing(connect(engine_host, timeout_s=IMAGE_ANSWER_S)) as client, faults():
            rows = client.api.images()
            used = {row["ImageID"] for row in client.api.containers(all=True)}
            images = choose_old(
                rows, used, images=catalog.images, today=today, older_days=older_days, keep=keep
            )
            if dry:
                return images, 0
            before = int(client.api.df().get("LayersSize") or 0)
            images = tuple(_removed(client, image) for image in images)
            after = int(client.api.df().get("LayersSize") or 0)
            return images, max(0, before - after)
    except EngineError as error:
        raise InfrastructureError(
            f"cannot prune the engine's images: {error.text}", then="docker system df"
        ) from error


def choose_old(
    rows: Iterable[Mapping[str, Any]],
    used: set[str],
    *,
    images: ImageCatalog,
    today: date,
    older_days: int,
    keep: int,
) -> tuple[OldImage, ...]:
    """The engine's images of our repository, newest first, each with the reason why it stays.

    `rows` are the engine's own (`Id`, `RepoTags`, `RepoDigests`, `Created` in seconds, `Size`); a tag's date goes before the
    day of the build. `used` are the ids of images that containers were made from.
    """
    found = []
    for row in rows:
        names = _names(row, images)
        if not names:
            continue
        days = [day for name in names if (day := tag_date(images, name.rpartition(":")[2]))]
        day = max(days, default=datetime.fromtimestamp(int(row["Created"]), tz=UTC).date())
        found.append((day, row, names))
    found.sort(key=lambda item: (item[0], str(item[1]["Id"])), reverse=True)
    chosen = []
    for number, (day, row, names) in enumerate(found):
        age_days = (today - day).days
        if row["Id"] in used:
            kept = "a container uses it"
        elif number < keep:
            kept = f"among the newest {keep}"
        elif age_days <= older_days:
            kept = f"not older than {older_days} days"
        else:
            kept = ""
        chosen.append(
            OldImage(
                id=str(row["Id"]), names=names, age_days=age_days, size_bytes=int(row["Size"]), kept=kept
            )
        )
    return tuple(chosen)


def _names(row: Mapping[str, Any], images: ImageCatalog) -> tuple[str, ...]:
    """The tags and digests by which an image is of our repository: plain, from a mirror or from what replaces Docker Hub."""
    repository = images.repository
    names = []
    for text in (*(row.get("RepoTags") or ()), *(row.get("RepoDigests") or ())):
        name = text.partition("@")[0] if "@" in text else text.rpartition(":")[0]
        if name == repository or name.endswith(f"/{repository}"):
            names.append(text)
    return tuple(names)


def _removed(client: Client, image: OldImage) -> OldImage:
    """The image after trying to remove it by all its names; a refusal is why it stays."""
    if image.kept:
        return image
    try:
        with faults():
            for name in image.names:
                _remove(client, name)
    except EngineError as error:
        return OldImage(
            id=image.id,
            names=image.names,
            age_days=image.age_days,
            size_bytes=image.size_bytes,
            kept=f"the engine refused: {error.text}",
        )
    return image


def _remove(client: Client, name: str) -> None:
    try:
        with faults():
            client.api.remove_image(name)
    except EngineError as error:
        if error.status != 404:  # the last tag takes its digests with it
            raise


def _is_plain(client: Client, registry: str) -> bool:
    """Whether the engine itself is configured to talk plain http to it."""
    config = client.api.info().get("RegistryConfig") or {}
    row = (config.get("IndexConfigs") or {}).get(registry) or {}
    return not row.get("Secure", True)
