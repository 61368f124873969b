"""How containers are made: profiles, bind mounts, variables, and where tests run by default."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from ci.catalog.columns import Count, Sourced, Text, VariableName, matching, within
from ci.catalog.decode import Reader
from ci.catalog.executors import ExecutorKind
from ci.catalog.hardware import HardwareCatalog

__all__ = [
    "ContainerMount",
    "ContainerProfile",
    "ContainerVariable",
    "Containers",
    "DefaultExecutor",
    "Ipc",
    "Network",
    "load_containers",
]

_Path = Annotated[str, matching(r"/.+", "an absolute path, e.g. /home/runner")]
# -1 is no limit
_Ulimit = Annotated[int, within(-1)]


class Network(StrEnum):
    """Which network a container has."""

    BRIDGE = "bridge"
    HOST = "host"
    NONE = "none"


class Ipc(StrEnum):
    """Whose shared memory a container has."""

    PRIVATE = "private"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProfile(Sourced):
    """The flags of a container. `nofile` and `memlock` are None where the engine's own limit stays; -1 is no limit.

    `devices` are taken where they exist; `render_devices` adds the GPUs' render nodes. `mounts` are rows' ids.
    """

    id: Text
    hardware: tuple[Text, ...]
    fabric: bool = False
    devices: tuple[Text, ...]
    render_devices: bool = False
    shm_bytes: Count
    capabilities: tuple[Text, ...]
    security: tuple[Text, ...]
    network: Network
    ipc: Ipc
    privileged: bool = False
    init: bool = False
    nofile: _Ulimit | None = None
    memlock: _Ulimit | None = None
    mounts: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMount(Sourced):
    """A bind mount of the host's `path`, made where it exists; an empty `target` is the path that was found.

    `switch` is a variable that turns it on or off; unset, it is on where RUNNER_NAME holds one of `default_on`.
    With `first_match` the path is a pattern of which the first match is taken.
    """

    id: Text
    path: _Path
    target: _Path = ""
    read_only: bool = False
    first_match: bool = False
    switch: Text = ""
    default_on: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerVariable(Sourced):
    """A variable of the container's environment; held back where its `mount` is absent."""

    KEY: ClassVar[str] = "name"
    REPEATS: ClassVar[bool] = True

    name: VariableName
    value: Text
    profiles: tuple[Text, ...]
    mount: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultExecutor(Sourced):
    """Where the tests of a hardware class run unless another executor is named."""

    KEY: ClassVar[str] = "executor"
    REPEATS: ClassVar[bool] = True

    executor: ExecutorKind
    hardware: tuple[Text, ...]


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


def load_containers(reader: Reader, hardware: HardwareCatalog) -> Containers:
    """Read containers.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("containers.toml", "profile", "mount", "variable", "default")
    rows = Containers(
        profiles={row.id: row for row in file.rows("profile", ContainerProfile)},
        mounts={row.id: row for row in file.rows("mount", ContainerMount)},
        variables=file.rows("variable", ContainerVariable),
        defaults=file.rows("default", DefaultExecutor),
    )
    file.refer("profile", "hardware", "hardware class", hardware.classes)
    file.refer("profile", "mounts", "mount", rows.mounts)
    file.refer("variable", "profiles", "profile", rows.profiles)
    file.refer("variable", "mount", "mount", rows.mounts)
    file.refer("default", "hardware", "hardware class", hardware.classes)
    for hardware_class in hardware.classes if file.complete("default", "profile") else ():
        if sum(hardware_class in row.hardware for row in rows.defaults) != 1:
            file.problem("default", f"{hardware_class} needs exactly one row", "name it in hardware of one")
        if not any(hardware_class in row.hardware for row in rows.profiles.values()):
            file.problem("profile", f"{hardware_class} has none", "name it in hardware of a profile")
    return rows
