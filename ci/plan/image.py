"""Which image a container run uses: names, dates and reasons. Pure; `ci.run.images` looks."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Candidate", "ImageFact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that was looked at; `refused` is empty for the one that was taken."""

    tag: str
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFact:
    """An image as it was found.

    `reference` is what the daemon pulls by tag, `manifest_digest` what it is pinned by in its own registry (empty for an
    image that only the local store has), `config_digest` its identity wherever it is copied to (empty: unresolved, and
    `problem` says why). `labels` and `env` are the image's own. `size_bytes` is what a pull transfers. `age_days` is None for
    an image whose tag bears no date; `stale_after_days` is the row that it was judged by.
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
