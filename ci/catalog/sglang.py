"""The environments in which the real SGLang runs on a CPU, and what depends on its version: the rows of `sglang.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ci.catalog.columns import Count, Explained, Row, Sourced, Text, Texts, fitting, matching
from ci.catalog.decode import Reader
from ci.catalog.versions import InvalidVersion, Version, Versions, span_of

__all__ = [
    "BaseRow",
    "FollowRow",
    "Release",
    "SglangArgument",
    "SglangRows",
    "TreeRow",
    "load_sglang",
]


def _is_version(value: str) -> bool:
    try:
        return bool(Version(value))
    except InvalidVersion:
        return False


VersionText = Annotated[str, fitting(_is_version, "a version, e.g. 0.5.10.post1")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRow(Sourced):
    """The base: its Python, and what it and a layer take, as an estimate."""

    KEY: ClassVar[str] = "pins"

    pins: Text
    python: Annotated[str, matching(r"3\.\d+", "major and minor, e.g. 3.12")]
    download_mib: Count
    disk_mib: Count
    layer_download_mib: Count
    layer_disk_mib: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Row):
    """A release of SGLang whose layer is pinned here."""

    KEY: ClassVar[str] = "version"

    version: VersionText
    pins: Text
    transformers: VersionText
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow(Row):
    """The layer, pinned here, for checkouts that want this version of transformers."""

    KEY: ClassVar[str] = "transformers"

    transformers: VersionText
    pins: Text
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRow(Explained):
    """A package that a layer takes at the version that its SGLang asks for."""

    KEY: ClassVar[str] = "package"

    package: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SglangArgument(Sourced):
    """Arguments that some releases of SGLang need on a CPU, and checkouts whose `file` does not hold `text`."""

    KEY: ClassVar[str] = "versions"
    REPEATS: ClassVar[bool] = True

    args: Texts
    versions: Versions
    file: Text
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SglangRows:
    """All rows of sglang.toml."""

    base: BaseRow
    releases: Mapping[str, Release]
    trees: Mapping[str, TreeRow]
    follow: tuple[str, ...]
    arguments: tuple[SglangArgument, ...]

    @property
    def newest(self) -> str:
        """The newest release with a row: what is taken when no version is asked for."""
        return max(self.releases, key=Version, default="")

    def arguments_for(self, version: str) -> tuple[str, ...]:
        """The arguments that a release needs on a CPU.

        Raises:
            ValueError: it is not a version.
        """
        parsed = Version(version)
        return tuple(arg for row in self.arguments if span_of(row.versions).has(parsed) for arg in row.args)


def load_sglang(reader: Reader) -> SglangRows:
    """Read sglang.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("sglang.toml", "base", "release", "tree", "follow", "argument")
    return SglangRows(
        base=file.row("base", BaseRow),
        releases={row.version: row for row in file.rows("release", Release)},
        trees={row.transformers: row for row in file.rows("tree", TreeRow)},
        follow=tuple(row.package for row in file.rows("follow", FollowRow)),
        arguments=file.rows("argument", SglangArgument),
    )
