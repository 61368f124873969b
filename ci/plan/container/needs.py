"""What a container run adds to a plan: in `work` what decides a verdict, in `placement` what is this machine's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ci.catalog.containers import ContainerProfile, Containers
from ci.catalog.hardware import CPU
from ci.catalog.stages import Suite
from ci.errors import Problem, UsageError
from ci.plan.container.image import Candidate
from ci.plan.container.work import GuardWork, InstallWork, OptionWork, PreflightWork

__all__ = [
    "BIN_DIR",
    "CHECKOUT_COPY",
    "CHECKOUT_DIR",
    "ROOT_DIR",
    "RUNS_DIR",
    "RUN_DIR",
    "STATE_DIR",
    "ContainerFacts",
    "ContainerPlace",
    "ContainerWork",
    "Device",
    "Mount",
    "Need",
    "environment_of",
    "needs_of",
    "nofile_of",
    "one_need",
    "options_of",
]

# Paths inside a container; docs/container.md says whose each is.
ROOT_DIR = "/amd-ci/root"
CHECKOUT_DIR = "/amd-ci/checkout"
CHECKOUT_COPY = "/sglang-checkout"
RUN_DIR = "/amd-ci/run"
RUNS_DIR = "/amd-ci/runs"
BIN_DIR = "/amd-ci/bin"
STATE_DIR = "/amd-ci/state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node of the host that the container gets under the same path; `gid` is the group that may use it.

    The group is None for a node of another machine, which only a plan names.
    """

    path: str
    gid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount; `id` is its row in containers.toml."""

    id: str
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """What this machine has for a container, found by ci/facts.

    `devices` exist; `device_source` says where their list came from. `absent` are rows whose device or path does not exist.
    `cache_free_bytes` is None when the cache path of the row is absent. `nofile_max` is the daemon's hard limit, None when
    it is not available. `elsewhere` says that the plan is for another machine: `devices` are then those that its rows name.
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
    elsewhere: bool = False

    @property
    def groups(self) -> tuple[int, ...]:
        """Group ids of the devices, as far as they are known."""
        return tuple(sorted({device.gid for device in self.devices if device.gid is not None}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWork:
    """What decides a verdict inside a container.

    `profile` is a row of containers.toml, `env` the container's own environment.
    """

    profile: str
    flavour: str
    options: OptionWork
    env: Mapping[str, str]
    install: InstallWork
    guards: GuardWork
    preflights: tuple[PreflightWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlace:
    """Where a container run takes its parts from on this machine."""

    docker: str
    image: str
    image_pinned: str
    image_bytes: int
    image_age_days: int | None
    image_candidates: tuple[Candidate, ...]
    mirror: str
    devices: tuple[str, ...]
    groups: tuple[int, ...]
    mounts: tuple[Mount, ...]
    absent: tuple[str, ...]
    cache: str
    cache_free_bytes: int | None
    nofile: int | None
    keep: bool
    strict: bool
    exclusive_host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a suite asks of its container; suites with different needs cannot share one. `rocm` is empty for the default."""

    profile: ContainerProfile
    rocm: str


def needs_of(containers: Containers, suites: Iterable[Suite], hardware_class: str) -> dict[str, Need]:
    """The need of each suite, by the suite's id."""
    return {
        suite.id: Need(
            profile=containers.profile_for(hardware_class, fabric=suite.fabric),
            rocm="" if hardware_class == CPU else suite.rocm,
        )
        for suite in suites
    }


def one_need(needs: Mapping[str, Need]) -> Need:
    """The container that all suites of a run share.

    Raises:
        UsageError: they need different ones; with the options of each run to use instead.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for suite, need in needs.items():
        kinds.setdefault((need.profile.id, need.rocm), []).append(suite)
    if len(kinds) > 1:
        raise UsageError(
            "these suites need different containers, and one run has one",
            problems=[_kind(suites, profile, rocm) for (profile, rocm), suites in kinds.items()],
            cause="other devices, networks or ROCm versions",
            then="start one run for each line above",
        )
    return next(iter(needs.values()))


def _kind(suites: list[str], profile: str, rocm: str) -> Problem:
    image = f" and a ROCm {rocm} image" if rocm else ""
    return Problem(
        where=", ".join(suites),
        what=f"a {profile} container{image}",
        hint=" ".join(f"--suite {suite}" for suite in suites),
    )


def options_of(profile: ContainerProfile) -> OptionWork:
    """The options that a test can notice."""
    return OptionWork(
        shm_bytes=profile.shm_bytes,
        capabilities=profile.capabilities,
        security=profile.security,
        network=profile.network,
        ipc=profile.ipc,
        privileged=profile.privileged,
        init=profile.init,
        nofile=profile.nofile,
        memlock=profile.memlock,
    )


def environment_of(containers: Containers, profile: str, mounts: Iterable[Mount]) -> dict[str, str]:
    """The container's own variables; those of a mount that is absent are left out."""
    present = {mount.id for mount in mounts}
    return {
        row.name: row.value
        for row in containers.variables
        if profile in row.profiles and (not row.mount or row.mount in present)
    }


def nofile_of(profile: ContainerProfile, most: int | None) -> int | None:
    """How many open files the engine can grant of what the profile asks for; a start above its own limit fails."""
    if profile.nofile is None or most is None or most < 0:
        return profile.nofile
    return most if profile.nofile < 0 else min(profile.nofile, most)
