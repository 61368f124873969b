"""How containers are made: profiles, bind mounts, variables, and where tests run by default."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.hardware import HardwareCatalog
from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = [
    "ContainerMount",
    "ContainerProfile",
    "ContainerVariable",
    "Containers",
    "DefaultExecutor",
    "load_containers",
]

_NETWORKS = ("bridge", "host", "none")
_IPC = ("private", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProfile:
    """The flags of a container. `nofile` and `memlock` are None where the engine's own limit stays; -1 is no limit.

    `devices` are taken where they exist; `render_devices` adds the GPUs' render nodes. `mounts` are rows' ids.
    """

    id: str
    hardware: tuple[str, ...]
    fabric: bool
    devices: tuple[str, ...]
    render_devices: bool
    shm_bytes: int
    capabilities: tuple[str, ...]
    security: tuple[str, ...]
    network: str
    ipc: str
    privileged: bool
    init: bool
    nofile: int | None
    memlock: int | None
    mounts: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMount:
    """A bind mount of the host's `path`, made where it exists; an empty `target` is the path that was found.

    `switch` is a variable that turns it on or off; unset, it is on where RUNNER_NAME holds one of `default_on`.
    With `first_match` the path is a pattern of which the first match is taken.
    """

    id: str
    path: str
    target: str
    read_only: bool
    first_match: bool
    switch: str
    default_on: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerVariable:
    """A variable of the container's environment; held back where its `mount` is absent."""

    name: str
    value: str
    profiles: tuple[str, ...]
    mount: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultExecutor:
    """Where the tests of a hardware class run when nothing is said."""

    executor: str
    hardware: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """All rows of containers.toml."""

    profiles: Mapping[str, ContainerProfile]
    mounts: Mapping[str, ContainerMount]
    variables: tuple[ContainerVariable, ...]
    defaults: tuple[DefaultExecutor, ...]

    def profile_for(self, hardware_class: str, *, fabric: bool) -> ContainerProfile:
        """The profile of a suite; a rehearsal has one for suites of both kinds. Checked when the catalog is read."""
        fitting = [row for row in self.profiles.values() if hardware_class in row.hardware]
        return next((row for row in fitting if row.fabric == fabric), fitting[0])

    def default_for(self, hardware_class: str) -> DefaultExecutor:
        """Where tests of this hardware class run by default; checked when the catalog is read."""
        return next(row for row in self.defaults if hardware_class in row.hardware)


def load_containers(problems: list[Problem], folder: Path, hardware: HardwareCatalog) -> Containers:
    """Read containers.toml; what is wrong with it is added to `problems`."""
    arrays = ("profile", "mount", "variable", "default")
    tables = Tables(folder / "containers.toml", problems, arrays=arrays)
    mounts = {row.id: row for row in _mounts(tables)}
    profiles = {row.id: row for row in _profiles(tables, hardware, mounts)}
    defaults = []
    for row in tables.rows("default", "executor"):
        default = DefaultExecutor(
            executor=row.text("executor", among=("docker", "host")),
            hardware=row.texts("hardware", among=hardware.classes),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        defaults.append(default)
    for hardware_class in hardware.classes:
        if sum(hardware_class in row.hardware for row in defaults) != 1:
            tables.problem("default", f"{hardware_class} needs exactly one row", "name it in hardware of one")
        if not any(hardware_class in row.hardware for row in profiles.values()):
            tables.problem("profile", f"{hardware_class} has none", "name it in hardware of a profile")
    return Containers(
        profiles=profiles,
        mounts=mounts,
        variables=tuple(_variables(tables, profiles, mounts)),
        defaults=tuple(defaults),
    )


def _profiles(
    tables: Tables, hardware: HardwareCatalog, mounts: Mapping[str, ContainerMount]
) -> list[ContainerProfile]:
    rows = tables.rows("profile")
    tables.unique(rows)
    profiles = []
    for row in rows:
        profile = ContainerProfile(
            id=row.text("id"),
            hardware=row.texts("hardware", among=hardware.classes),
            fabric=row.flag("fabric"),
            devices=row.texts("devices"),
            render_devices=row.flag("render_devices"),
            shm_bytes=row.whole("shm_bytes", least=1),
            capabilities=row.texts("capabilities"),
            security=row.texts("security"),
            network=row.text("network", among=_NETWORKS),
            ipc=row.text("ipc", among=_IPC),
            privileged=row.flag("privileged"),
            init=row.flag("init"),
            nofile=_limit(row, "nofile"),
            memlock=_limit(row, "memlock"),
            mounts=row.texts("mounts", among=mounts),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        profiles.append(profile)
    return profiles


def _limit(row: Row, key: str) -> int | None:
    return row.whole(key, None, least=-1)


def _mounts(tables: Tables) -> list[ContainerMount]:
    rows = tables.rows("mount")
    tables.unique(rows)
    mounts = []
    for row in rows:
        path = row.text("path", matches=r"/.+")
        mount = ContainerMount(
            id=row.text("id"),
            path=path,
            target=row.text("target", "" if row.flag("first_match") else path, matches=r"/.+"),
            read_only=row.flag("read_only"),
            first_match=row.flag("first_match"),
            switch=row.text("switch", ""),
            default_on=row.texts("default_on", []),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        mounts.append(mount)
    return mounts


def _variables(
    tables: Tables, profiles: Mapping[str, ContainerProfile], mounts: Mapping[str, ContainerMount]
) -> list[ContainerVariable]:
    variables = []
    for row in tables.rows("variable", "name"):
        variable = ContainerVariable(
            name=row.text("name", matches=r"[A-Za-z_][A-Za-z0-9_]*"),
            value=row.text("value"),
            profiles=row.texts("profiles", among=profiles),
            mount=row.text("mount", "", among=mounts),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        variables.append(variable)
    return variables
