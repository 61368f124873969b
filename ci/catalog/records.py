"""The catalog's rows as values. Every one is frozen; seconds, MiB and counts are in the names."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ci.catalog.verdicts import Verdict

__all__ = [
    "Bound",
    "Capability",
    "Engine",
    "EnvLayer",
    "Label",
    "Model",
    "PassThrough",
    "Pool",
    "Preflight",
    "Quarantine",
    "Retry",
    "Routing",
    "SecretWords",
    "Sizes",
    "Stage",
    "StandIn",
    "Suite",
    "TestEnv",
    "VerdictRule",
]

# What an evaluation or a bench takes in rehearsal instead of what its test asks for, by its kind.
Sizes = Mapping[str, Mapping[str, int | float | tuple[int, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A gate of CI; `session` is its Nox session, `after` the stages it waits for on pull requests."""

    id: str
    session: str
    title: str
    after: tuple[str, ...]
    env_sets: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A named set of registered tests with one hardware need, and how CI runs it.

    `timeout_s` is for one shard, `timeout_per_file_s` for one test file. `files` is set for the jobs that run fixed
    files instead of registered ones. `when` says in words what must have changed for CI to run it.
    """

    id: str
    stage: str
    name: str
    family: str
    gpus: int
    fabric: bool
    shards: int
    timeout_s: float
    timeout_per_file_s: float
    nightly: bool
    rocm: str
    when: str
    env_sets: tuple[str, ...]
    files: tuple[str, ...]
    attempts: int
    retry_wait_s: float
    preflight: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """A command that runs before a suite's tests on real hardware."""

    id: str
    argv: tuple[str, ...]
    timeout_s: float
    env: Mapping[str, str]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A verdict that may be tried again where a suite has more than one attempt."""

    verdict: Verdict
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Machines of one hardware class that runner labels point to."""

    id: str
    hardware: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One runner label: its pool and how many GPUs a job on it sees."""

    label: str
    pool: str
    gpus: int
    fabric: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Which pool each event's jobs of a hardware family go to; one row per family is in force."""

    id: str
    family: str
    since: str
    in_force: bool
    pool_by_event: Mapping[str, str]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An inference server: the Python package that holds it, what it can do, the hardware it is the default for.

    `launch_s` is how long a server may take until it is ready, unless the test says more.
    """

    id: str
    package: str
    features: tuple[str, ...]
    default_for: tuple[str, ...]
    launch_s: float
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """The small model that takes a model's place in rehearsal, and the sizes that it can bear."""

    id: str
    engine: str
    package: str
    file: str
    slots: int
    context: int
    threads: int
    sizes: Sizes
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as tests name it; `stand_in` is the id of what takes its place in rehearsal."""

    id: str
    stand_in: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a metric of a test has to be on some hardware classes; `report_only` rows judge nothing."""

    test: str
    metric: str
    hardware: tuple[str, ...]
    op: str
    limit: float
    unit: str
    report_only: bool
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Whether a server gets `args` when a test asks for `id`, for one engine on some hardware classes.

    Where it is not `allowed`, `args` is what is left out and `issue` the URL of what has to change first.
    """

    id: str
    engine: str
    hardware: tuple[str, ...]
    args: tuple[str, ...]
    allowed: bool
    why: str
    issue: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A test file or pytest node id that gates nothing on some hardware classes, from `since` to `expires` inclusive.

    A node id without parameters stands for the case with all its parameters.
    """

    test: str
    hardware: tuple[str, ...]
    reason: str
    issue: str
    since: date
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule:
    """A case-sensitive pattern in a failed attempt's log and the verdict that it proves."""

    id: str
    verdict: Verdict
    pattern: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvLayer:
    """Env sets that hold for every stage, or for suites of one hardware family."""

    id: str
    family: str
    sets: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEnv:
    """Env sets of one registered test, over those of its suite."""

    __test__ = False  # pytest takes a class named Test... for a test

    test: str
    sets: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThrough:
    """Variables of the caller that reach the tests; `host_only` ones mean nothing inside a container."""

    names: tuple[str, ...]
    prefixes: tuple[str, ...]
    host_only: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWords:
    """Words that make a variable's name a secret's name, as parts between underscores."""

    words: tuple[str, ...]
    why: str
