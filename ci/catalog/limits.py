"""The numbers of limits.toml in typed groups; a row `pull.stall_s` is the field `stall_s` of `Limits.pull`."""

from dataclasses import dataclass
from typing import get_type_hints

from ci.catalog.columns import NotNegative, Sourced, Text
from ci.catalog.decode import Reader

__all__ = [
    "AgentLimits",
    "ContainerLimits",
    "DepsLimits",
    "HarnessLimits",
    "HealthLimits",
    "Limits",
    "PolicyLimits",
    "PullLimits",
    "RegistryLimits",
    "ReportLimits",
    "SlurmLimits",
    "load_limits",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """How the agent ends tests and cuts their logs; part of the plan."""

    int_grace_s: float
    term_grace_s: float
    stop_int_grace_s: float
    stop_term_grace_s: float
    settle_s: float
    log_head_bytes: int
    log_tail_bytes: int
    vram_settle_s: float
    port_first: int
    ports_per_slot: int

    @property
    def slots_max(self) -> int:
        """As many tests at a time as have ports below those that Linux gives out by itself (ip_local_port_range)."""
        return max(1, (32768 - self.port_first) // self.ports_per_slot)

    @property
    def stop_s(self) -> float:
        """How long tests are given to end after a stop, without the sweep."""
        return self.stop_int_grace_s + self.stop_term_grace_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessLimits:
    """How the harness waits for a server and judges its answers; part of the plan. `*_max` are shares."""

    request_s: float
    probe_s: float
    failed_requests_max: float
    client_overhead_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLimits:
    """How often the reports speak and where they cut."""

    progress_every_s: float
    tail_lines: int
    case_lines: int
    summary_bytes: int
    annotations_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLimits:
    """Requests for tags, manifests and configs."""

    connect_s: float
    read_s: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """Pulls of images, from the mirror and from the public registry."""

    attempts: int
    wait_s: float
    wait_max_s: float
    jitter_s: float
    retry_after_max_s: float
    stall_s: float
    mirror_max_s: float
    public_max_s: float
    engine_back_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLimits:
    """How long a container may be paused, and live."""

    paused_s: float
    ttl_margin_s: float
    keep_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DepsLimits:
    """Repetition of installation steps."""

    attempts: int
    wait_s: float
    alternative_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """When a GPU is clear, and how long that is waited for; `busy_share` is of its VRAM."""

    busy_share: float
    residue_mib: float
    clear_s: float
    settle_s: float
    term_s: float
    tool_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmLimits:
    """How a Slurm run waits and looks; part of the placement.

    `answer_s` is what one of Slurm's programs may take, `state_every_s` how often the job's state is asked for, `follow_every_s` how
    often new events are read, `look_every_s` how often a worker without a test looks for one. All workers have said hello
    within `hello_s`, with clocks that differ by `skew_s` at most. `start_s` is added to the plan's own limit; `stop_before_s` before
    the end of the job's time the tests are ended.
    """

    answer_s: float
    state_every_s: float
    follow_every_s: float
    look_every_s: float
    hello_s: float
    skew_s: float
    start_s: float
    stop_before_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLimits:
    """What the maintainers decided and nothing measures."""

    quarantine_notice_days: int
    image_prune_days: int
    image_prune_keep: int
    bisect_confirmations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every row of limits.toml, group by group."""

    agent: AgentLimits
    harness: HarnessLimits
    report: ReportLimits
    registry: RegistryLimits
    pull: PullLimits
    container: ContainerLimits
    deps: DepsLimits
    health: HealthLimits
    slurm: SlurmLimits
    policy: PolicyLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit(Sourced):
    id: Text
    value: NotNegative


def load_limits(reader: Reader) -> Limits:
    """Read limits.toml; rows that are missing or unknown are problems too."""
    file = reader.open("limits.toml", "limit")
    rows = {row.id: row for row in file.rows("limit", _Limit)}
    groups = get_type_hints(Limits)
    kinds = {
        f"{group}.{name}": kind
        for group, fields in groups.items()
        for name, kind in get_type_hints(fields).items()
    }
    file.refer("limit", "id", "limit", kinds)
    for row in rows.values():
        if kinds.get(row.id) is int and row.value != int(row.value):
            reader.problem(row, "value", f"is {row.value:g}, not a whole number")
    if file.complete("limit"):
        for name in kinds:
            if name not in rows:
                file.problem("limit", f"{name} is missing", f'add [[limit]] id = "{name}"')
    values = {name: rows[name].value if name in rows else 0 for name in kinds}
    made = {
        group: fields(**{name: values[f"{group}.{name}"] for name in get_type_hints(fields)})
        for group, fields in groups.items()
    }
    return Limits(**made)
