"""Images, their flavours, mirrors and logins: the rows of `images.toml`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = [
    "BuildTarget",
    "Flavour",
    "ImageCatalog",
    "Login",
    "Mirror",
    "Override",
    "PullFault",
    "load_images",
    "mirror_for",
]

_FILE = "images.toml"
_GROUPS = ("version", "flavour", "family", "date")
_NO_TAG = "(?P<version>)(?P<flavour>)(?P<family>)(?P<date>)"
_VARIABLE = r"[A-Z][A-Z0-9_]*"
_HOST_PORT = r"[A-Za-z0-9.-]+(:\d{1,5})?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """A ROCm line of images. `rocm` is how options and suites name it, `python` the interpreter inside."""

    id: str
    rocm: str
    look_back_days: int
    stale_after_days: int
    default: bool
    python: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTarget:
    """The stage of SGLang's Dockerfile that makes a flavour for a family: its build argument GPU_ARCH."""

    flavour: str
    family: str
    gpu_arch: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A variable that names an image; `families` is empty where it holds for all. The first that is set wins."""

    variable: str
    families: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Which variables hold the credentials: for the `public` registry, or for the images that an `override` names."""

    id: str
    scope: str
    username: str
    token: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A registry near some runner pools; one row in force for each pool."""

    id: str
    address: str
    pools: tuple[str, ...]
    since: str
    in_force: bool
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFault:
    """A pattern in what the engine says about a failed pull, and whether trying again can help. First match decides."""

    id: str
    pattern: str
    retry: bool
    limited: bool
    why: str
    source: str


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
    flavours: Mapping[str, Flavour]
    targets: tuple[BuildTarget, ...]
    overrides: tuple[Override, ...]
    logins: tuple[Login, ...]
    mirrors: tuple[Mirror, ...]
    faults: tuple[PullFault, ...]

    @property
    def default_flavour(self) -> Flavour:
        """The flavour where nothing else is asked for; there is exactly one in a sound catalog."""
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
        return "", f"none: this machine is of no runner pool, and {images.mirror_variable} is not set"
    for row in images.mirrors:
        if row.in_force and pool in row.pools:
            return row.address, f"images.toml: mirror[{row.id}], {row.source}"
    return "", f"none: images.toml has no mirror in force for pool {pool}"


def load_images(
    problems: list[Problem], folder: Path, *, families: Collection[str], pools: Collection[str]
) -> ImageCatalog:
    """Read and check `images.toml`; what is wrong is added to `problems`."""
    arrays = ("repository", "flavour", "target", "override", "login", "mirror", "pull_fault")
    tables = Tables(folder / _FILE, problems, arrays=arrays)
    repositories = tables.rows("repository")
    if len(repositories) != 1:
        tables.problem("repository", f"{len(repositories)} rows", "images come from exactly one")
    flavours = _flavours(tables)
    named = _Repository.of(repositories[0]) if repositories else _Repository()
    return ImageCatalog(
        registry=named.registry,
        api=named.api,
        repository=named.name,
        tag=named.tag,
        registry_variable=named.registry_variable,
        rocm_variable=named.rocm_variable,
        mirror_variable=named.mirror_variable,
        flavours=flavours,
        targets=_targets(tables, flavours, families),
        overrides=tuple(_override(row, families) for row in _unique(tables, "override", "variable")),
        logins=tuple(_login(row) for row in _unique(tables, "login", "id")),
        mirrors=_mirrors(tables, pools),
        faults=tuple(_fault(row) for row in _unique(tables, "pull_fault", "id")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """The one row of `[[repository]]`; the defaults stand in for a missing one."""

    registry: str = ""
    api: str = ""
    name: str = ""
    tag: str = _NO_TAG
    registry_variable: str = ""
    rocm_variable: str = ""
    mirror_variable: str = ""

    @classmethod
    def of(cls, row: Row) -> "_Repository":
        repository = cls(
            registry=row.text("registry", matches=_HOST_PORT),
            api=row.text("api", matches=r"https://\S+"),
            name=row.text("name", matches=r"[a-z0-9._/-]+"),
            tag=_pattern(row, "tag", _NO_TAG, groups=_GROUPS),
            registry_variable=row.text("registry_variable", matches=_VARIABLE),
            rocm_variable=row.text("rocm_variable", matches=_VARIABLE),
            mirror_variable=row.text("mirror_variable", matches=_VARIABLE),
        )
        for key in ("id", "why", "source"):
            row.text(key)
        row.done()
        return repository


def _unique(tables: Tables, name: str, key: str) -> list[Row]:
    rows = tables.rows(name, key)
    tables.unique(rows, key)
    return rows


def _pattern(row: Row, key: str, fallback: str, *, groups: Collection[str] = ()) -> str:
    """A regular expression with these named groups."""
    text = row.text(key)
    try:
        compiled = re.compile(text)
    except re.error as error:
        row.problem(key, f"is no regular expression: {error}")
        return fallback
    missing = [group for group in groups if group not in compiled.groupindex]
    if missing:
        row.problem(key, f"has no group {', '.join(missing)}", "write (?P<name>...)")
        return fallback
    return text


def _flavours(tables: Tables) -> Mapping[str, Flavour]:
    flavours = {}
    for row in _unique(tables, "flavour", "id"):
        flavour = Flavour(
            id=row.text("id", matches=r"rocm\d+"),
            rocm=row.text("rocm", matches=r"\d+"),
            look_back_days=row.whole("look_back_days", least=1),
            stale_after_days=row.whole("stale_after_days", least=0),
            default=row.flag("default"),
            python=row.text("python"),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        flavours[flavour.id] = flavour
    defaults = [flavour.id for flavour in flavours.values() if flavour.default]
    if len(defaults) != 1:
        what = f"{len(defaults)} rows are the default: {', '.join(defaults) or 'none'}"
        tables.problem("flavour", what, "set default = true in exactly one of them")
    return flavours


def _targets(
    tables: Tables, flavours: Mapping[str, Flavour], families: Collection[str]
) -> tuple[BuildTarget, ...]:
    targets = []
    for row in _unique(tables, "target", "gpu_arch"):
        targets.append(
            BuildTarget(
                flavour=row.text("flavour", among=flavours),
                family=row.text("family", among=families),
                gpu_arch=row.text("gpu_arch", matches=r"gfx[0-9a-f]+(-rocm\d+)?"),
                source=row.text("source"),
            )
        )
        row.done()
    have = {(target.flavour, target.family) for target in targets}
    for flavour in flavours:
        for family in families:
            if (flavour, family) not in have:
                tables.problem("target", f"there is none for {flavour} on {family}", "add a [[target]]")
    return tuple(targets)


def _override(row: Row, families: Collection[str]) -> Override:
    override = Override(
        variable=row.text("variable", matches=_VARIABLE),
        families=row.texts("families", [], among=families),
        why=row.text("why"),
        source=row.text("source"),
    )
    row.done()
    return override


def _login(row: Row) -> Login:
    login = Login(
        id=row.text("id"),
        scope=row.text("scope", among=("public", "override")),
        username=row.text("username", matches=_VARIABLE),
        token=row.text("token", matches=_VARIABLE),
        why=row.text("why"),
        source=row.text("source"),
    )
    row.done()
    return login


def _mirrors(tables: Tables, pools: Collection[str]) -> tuple[Mirror, ...]:
    mirrors = []
    for row in _unique(tables, "mirror", "id"):
        mirrors.append(
            Mirror(
                id=row.text("id"),
                address=row.text("address", matches=_HOST_PORT),
                pools=row.texts("pools", among=pools),
                since=row.text("since", matches=r"\d{4}-\d\d-\d\d"),
                in_force=row.flag("in_force"),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    for pool in pools:
        active = [mirror.id for mirror in mirrors if mirror.in_force and pool in mirror.pools]
        if len(active) > 1:
            what = f"{len(active)} rows of pool {pool} are in force: {', '.join(active)}"
            tables.problem("mirror", what, "set in_force = true in one of them at most")
    return tuple(mirrors)


def _fault(row: Row) -> PullFault:
    fault = PullFault(
        id=row.text("id"),
        pattern=_pattern(row, "pattern", "(?!)"),
        retry=row.flag("retry"),
        limited=row.flag("limited"),
        why=row.text("why"),
        source=row.text("source"),
    )
    if row.raw("retry") is None:
        row.problem("retry", "is missing", "true or false")
    row.done()
    return fault
