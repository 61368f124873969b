"""Images, their flavours, mirrors and logins: the rows of `images.toml`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from ci.catalog.columns import (
    Count,
    Day,
    Regex,
    Row,
    Sourced,
    Text,
    VariableName,
    Whole,
    matching,
    regex_with,
)
from ci.catalog.decode import Reader

__all__ = [
    "BuildTarget",
    "Flavour",
    "ImageCatalog",
    "Login",
    "LoginScope",
    "Mirror",
    "Override",
    "PullFault",
    "Unofficial",
    "load_images",
    "mirror_for",
]

_HostPort = Annotated[
    str, matching(r"[A-Za-z0-9.-]+(:\d{1,5})?", "host or host:port, e.g. registry.example:5000")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository(Sourced):
    id: Text
    registry: _HostPort
    api: Annotated[str, matching(r"https://\S+", "an https URL")]
    name: Annotated[str, matching(r"[a-z0-9._/-]+", "a repository, e.g. owner/name")]
    tag: Annotated[Text, regex_with("version", "flavour", "family", "date")]
    registry_variable: VariableName
    rocm_variable: VariableName
    mirror_variable: VariableName


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour(Sourced):
    """A ROCm line of images. `rocm` is how options and suites name it, `python` the interpreter inside."""

    id: Annotated[str, matching(r"rocm\d+(\.\d+)*", "rocm and its version, e.g. rocm720 or rocm7.15")]
    rocm: Annotated[str, matching(r"\d+(\.\d+)*", "the version as tags have it, e.g. 720 or 7.15")]
    look_back_days: Count
    stale_after_days: Whole
    default: bool = False
    python: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Unofficial(Sourced):
    """What a tag is that is not an official one; the first row whose pattern is found in it decides."""

    id: Text
    pattern: Regex
    title: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTarget(Row):
    """The stage of SGLang's Dockerfile that makes a flavour for a family: its build argument GPU_ARCH."""

    KEY: ClassVar[str] = "gpu_arch"

    flavour: Text
    family: Text
    gpu_arch: Annotated[
        str, matching(r"gfx[0-9a-f]+(-rocm\d+(\.\d+)*)?", "a build target, e.g. gfx942-rocm720")
    ]
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(Sourced):
    """A variable that names an image; `families` is empty where it holds for all. The first that is set wins."""

    KEY: ClassVar[str] = "variable"

    variable: VariableName
    families: tuple[Text, ...] = ()


class LoginScope(StrEnum):
    """What credentials are for: the public registry, or the images that an override names."""

    PUBLIC = "public"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Sourced):
    """Which variables hold credentials."""

    id: Text
    scope: LoginScope
    username: VariableName
    token: VariableName


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror(Sourced):
    """A registry near some runner pools; one row in force for each pool."""

    id: Text
    address: _HostPort
    pools: tuple[Text, ...]
    since: Day
    in_force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFault(Sourced):
    """A pattern in what the engine says about a failed pull, and whether trying again can help. First match decides."""

    id: Text
    pattern: Regex
    retry: bool
    limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCatalog:
    """`images.toml`. `tag` is the pattern of official tags, with the groups version, flavour, family and date."""

    registry: str
    api: str
    repository: str
    tag: str
    registry_variable: str
    rocm_variable: str
    mirror_variable: str
    unofficial: tuple[Unofficial, ...]
    flavours: Mapping[str, Flavour]
    targets: tuple[BuildTarget, ...]
    overrides: tuple[Override, ...]
    logins: tuple[Login, ...]
    mirrors: tuple[Mirror, ...]
    faults: tuple[PullFault, ...]

    @property
    def default_flavour(self) -> Flavour:
        """The default flavour; a valid catalog has exactly one."""
        return next(row for row in self.flavours.values() if row.default)

    def target(self, flavour: str, family: str) -> BuildTarget | None:
        """The Dockerfile's stage, None when there is none."""
        return next((row for row in self.targets if (row.flavour, row.family) == (flavour, family)), None)

    def flavour_of_stage(self, gpu_arch: str) -> str:
        """The flavour that a Dockerfile's stage makes, empty for an unknown one."""
        return next((row.flavour for row in self.targets if row.gpu_arch == gpu_arch), "")


def mirror_for(images: ImageCatalog, pool: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The mirror's address (empty: none) for a machine of a runner pool (empty: of no pool), and why it is that."""
    if images.mirror_variable in environ:
        address = environ[images.mirror_variable]
        return address, images.mirror_variable if address else f"{images.mirror_variable} is empty: no mirror"
    if not pool:
        return "", f"none: this machine is in no runner pool, and {images.mirror_variable} is not set"
    for row in images.mirrors:
        if row.in_force and pool in row.pools:
            return row.address, f"images.toml: mirror[{row.id}], {row.source}"
    return "", f"none: images.toml has no mirror in force for pool {pool}"


def load_images(reader: Reader, *, families: Collection[str], pools: Collection[str]) -> ImageCatalog:
    """Read images.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open(
        "images.toml",
        *("repository", "unofficial", "flavour", "target", "override", "login", "mirror", "pull_fault"),
    )
    official = file.row("repository", _Repository)
    images = ImageCatalog(
        registry=official.registry,
        api=official.api,
        repository=official.name,
        tag=official.tag,
        registry_variable=official.registry_variable,
        rocm_variable=official.rocm_variable,
        mirror_variable=official.mirror_variable,
        unofficial=file.rows("unofficial", Unofficial),
        flavours={row.id: row for row in file.rows("flavour", Flavour)},
        targets=file.rows("target", BuildTarget),
        overrides=file.rows("override", Override),
        logins=file.rows("login", Login),
        mirrors=file.rows("mirror", Mirror),
        faults=file.rows("pull_fault", PullFault),
    )
    file.refer("target", "flavour", "flavour", images.flavours)
    file.refer("target", "family", "hardware family", families)
    file.refer("override", "families", "hardware family", families)
    file.refer("mirror", "pools", "pool", pools)
    if not file.complete("flavour", "target", "mirror"):
        return images
    defaults = [row.id for row in images.flavours.values() if row.default]
    if len(defaults) != 1:
        what = f"{len(defaults)} rows are the default: {', '.join(defaults) or 'none'}"
        file.problem("flavour", what, "set default = true in exactly one of them")
    for flavour in images.flavours:
        for family in families:
            if images.target(flavour, family) is None:
                file.problem("target", f"no row for {flavour} on {family}", "add a [[target]]")
    for pool in pools:
        active = [row.id for row in images.mirrors if row.in_force and pool in row.pools]
        if len(active) > 1:
            what = f"{len(active)} rows of pool {pool} are in force: {', '.join(active)}"
            file.problem("mirror", what, "set in_force = true in one of them at most")
    return images
