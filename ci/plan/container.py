"""What a container run adds to a plan: in `work` what decides a verdict, in `placement` what is this machine's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.plan.image import Candidate

__all__ = ["ContainerFacts", "ContainerPlace", "ContainerWork", "Device", "Mount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node of the host that the container gets under the same path; `gid` is the group that may use it."""

    path: str
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount; `id` is its row in containers.toml."""

    id: str
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """What this machine has for a container, found at the edge.

    `devices` exist; `device_source` says where their list came from. `absent` are rows whose device or path is not there.
    `cache_free_bytes` is None when the cache path of the row is absent. `nofile_max` is the daemon's hard limit, None when
    it could not be had.
    """

    docker: str
    docker_source: str
    problem: str
    devices: tuple[Device, ...]
    device_source: str
    mounts: tuple[Mount, ...]
    absent: tuple[str, ...]
    cache: str
    cache_free_bytes: int | None
    nofile_max: int | None
    mirror: str
    mirror_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWork:
    """What decides a verdict inside a container.

    `profile` is a row of containers.toml, `options` its flags that a test can notice (shm_bytes, capabilities, security,
    ulimits, network, ipc, privileged, init), `env` the container's own environment. `install` is what `ci.plan.deps` says
    about the dependencies, `guards` what `ci.plan.guards` watches.
    """

    profile: str
    flavour: str
    options: Mapping[str, Any]
    env: Mapping[str, str]
    install: Mapping[str, Any]
    guards: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlace:
    """Where a container run takes its parts from on this machine."""

    docker: str
    image: str
    image_pinned: str
    image_age_days: int | None
    image_candidates: tuple[Candidate, ...]
    mirror: str
    devices: tuple[str, ...]
    groups: tuple[int, ...]
    mounts: tuple[Mount, ...]
    absent: tuple[str, ...]
    cache: str
    cache_free_bytes: int | None
    keep: bool
    strict: bool
