"""What a plan says about its container's options, dependencies, guards and preflights."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CheckoutWork", "GuardWork", "InstallWork", "OptionWork", "PreflightWork", "ProbeWork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionWork:
    """The options of the container that a test can notice; `nofile` and `memlock` are None for the engine's own."""

    shm_bytes: int
    capabilities: tuple[str, ...]
    security: tuple[str, ...]
    network: str
    ipc: str
    privileged: bool
    init: bool
    nofile: int | None
    memlock: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutWork:
    """What the rows of dependencies.toml find in a checkout.

    `tree` identifies its content (empty: unknown, `tree_source` says why), `files` are those of the rows that exist, `pins`
    values by `<pin>` or `<pin>@<stage>`.
    """

    tree: str
    tree_source: str
    files: tuple[str, ...]
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallWork:
    """What is installed, as far as it is known without the container; `ci.plan.container.install` makes steps of it.

    `rows` is a digest of dependencies.toml. `flavour` is empty when the image's name does not tell, `family` for a rehearsal,
    `stage` where no Dockerfile stage built the image; `checkout` is None without one. `overrides` are pins by name,
    `alternative_index` the variable that has the second index, `steps` the ids of the rows.
    """

    rows: str
    flavour: str
    family: str
    stage: str
    checkout: CheckoutWork | None
    overrides: Mapping[str, str]
    alternative_index: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeWork:
    """A name that has to be importable if its distribution is installed, and that has to be installed if `required`."""

    distribution: str
    required: bool
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardWork:
    """What is watched: modules by protected distribution, the folders where servers and tests start, probes by name."""

    protected: Mapping[str, str]
    starts: tuple[str, ...]
    probes: Mapping[str, ProbeWork]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightWork:
    """A command that runs before the tests."""

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout_s: float
