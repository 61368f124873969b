"""The plan: what will be done, in two parts, and its digest.

`work` is what decides a verdict. `placement` is where and for whom. `sources` says where values came from, by dotted
path. Two runs are the same when the digests of their `work` are equal.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.catalog.executors import ExecutorKind
from ci.catalog.limits import AgentLimits, HarnessLimits
from ci.catalog.models import Sizes
from ci.catalog.registrations.parse import Kind
from ci.catalog.roles import Role
from ci.catalog.slots import OwnKind
from ci.catalog.stages import RetryGpu
from ci.catalog.verdict_rules import About, OnlyIf
from ci.catalog.verdicts import Verdict
from ci.errors import Problem, UsageError
from ci.plan.container.needs import ContainerPlace, ContainerWork
from ci.plan.content import ContentWork
from ci.plan.engine_build import EnginePlace, EngineWork
from ci.plan.request import Request
from ci.plan.shards import Shard
from ci.plan.slurm_place import SlurmPlace
from ci.system.codec import DecodeError, canonical, decode, encode

__all__ = [
    "SCHEMA",
    "BoundWork",
    "CapabilityWork",
    "CpuTestsWork",
    "ErrorWork",
    "LeftOut",
    "ModelWork",
    "NotJudgedWork",
    "OwnWork",
    "Placement",
    "Plan",
    "RetryWork",
    "RolePlace",
    "RoleWork",
    "RuleWork",
    "SharingWork",
    "StandInWork",
    "SuiteWork",
    "TestWork",
    "Work",
    "WorkLimits",
    "digest_of",
    "planned_again",
]

SCHEMA = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInWork:
    """The small model of a rehearsal; docs/harness.md says what the fields mean."""

    id: str
    package: str
    file: str
    slots: int
    context: int
    threads: int
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWork:
    """What the engine is given for a model, and what took its place."""

    path: str
    stand_in: StandInWork | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundWork:
    """What a metric has to be; a row with a floor may hold that of its ceiling.

    `measured_by` are the cases that would measure it, as node ids name them behind the file; none: that is not known.
    """

    op: str
    limit: float
    unit: str
    source: str
    report_only: bool
    ceiling: "BoundWork | None" = None
    measured_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityWork:
    """Server arguments that a test asks for, and whether this engine gets them on this hardware class."""

    args: tuple[str, ...]
    allowed: bool
    why: str
    issue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleWork:
    """A pattern in the evidence about a failure, and the verdict that it proves."""

    id: str
    verdict: Verdict
    about: tuple[About, ...]
    only_if: OnlyIf
    pattern: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorWork:
    """An exception by its class, the beginning of its message, and where it was raised; an empty `function` is any."""

    id: str
    raises: str
    message: str
    raised_in: tuple[str, ...]
    function: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudgedWork:
    """A statement of a file of the tree that judges a model which a stand-in replaced."""

    test: str
    file: str
    expression: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTestsWork:
    """What SGLang's own tests may end with on a CPU without being failed; all empty for any other run."""

    gpu_proofs: tuple[ErrorWork, ...] = ()
    wrappers: tuple[ErrorWork, ...] = ()
    server_ends: tuple[ErrorWork, ...] = ()
    not_judged: tuple[NotJudgedWork, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestWork:
    """One test file; `cases` are pytest node ids, empty for the whole file.

    `env` holds only what differs from the suite's environment.
    """

    __test__ = False  # pytest takes a class named Test... for a test

    id: str
    path: str
    kind: Kind
    cases: tuple[str, ...]
    est_s: float
    timeout_s: float
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWork:
    """A verdict after which a test is tried again, up to so many attempts in all."""

    verdict: Verdict
    attempts: int
    gpu: RetryGpu


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleWork:
    """A server behind a suite's tests. In `args` the addresses and ports of all roles are still fields, `{prefill.host}`.

    It is ready when `GET ready` answers 200 on its port `http`, within `ready_s` of its start.
    """

    role: Role
    model: str
    gpus: int
    args: tuple[str, ...]
    ready: str
    ready_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteWork:
    """A suite's part of the work: its tests in running order, its environment and its limits in seconds.

    `roles` are started before each attempt and ended after it.
    """

    id: str
    name: str
    shard: Shard | None
    gpus: int
    timeout_s: float
    attempts: int
    retry_wait_s: float
    retries: tuple[RetryWork, ...]
    env: Mapping[str, str]
    roles: tuple[RoleWork, ...]
    tests: tuple[TestWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWork:
    """A variable that each test has for itself."""

    name: str
    kind: OwnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingWork:
    """What tests that run at a time may not share; empty where one runs at a time. `alone` are the ids of tests."""

    alone: tuple[str, ...] = ()
    variables: tuple[OwnWork, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """What the agent and the harness wait and cut by; `launch_s` and `stop_s` are how long the engine's
    server may take to be ready and to end.
    """

    agent: AgentLimits
    harness: HarnessLimits
    launch_s: float
    stop_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What decides a verdict. `models` are by id, `bounds` by test and metric, `capabilities` by id; `quarantine` are the
    ids that hold.

    `content` is what is on disk. `engine_build` is the environment that we make for the engine, None where it is found; `engine_args` are given to every
    server. `image` is a config digest, None for a run on the host, empty when it could not be resolved; `container` is what else
    a run in a container depends on.
    """

    stage: str
    commit: str
    checkout: str
    content: ContentWork
    hardware_class: str
    rehearsal: bool
    engine: str
    engine_version: str
    engine_build: EngineWork | None
    engine_args: tuple[str, ...]
    features: tuple[str, ...]
    models: Mapping[str, ModelWork]
    image: str | None
    container: ContainerWork | None
    suites: tuple[SuiteWork, ...]
    skipped_suites: tuple[str, ...]
    bounds: Mapping[str, Mapping[str, BoundWork]]
    capabilities: Mapping[str, CapabilityWork]
    quarantine: tuple[str, ...]
    limits: WorkLimits
    verdict_rules: tuple[RuleWork, ...]
    cpu_tests: CpuTestsWork
    jobs: int
    sharing: SharingWork
    fail_fast: bool
    pytest_args: tuple[str, ...]

    @property
    def tests(self) -> int:
        """How many tests the plan runs."""
        return sum(len(suite.tests) for suite in self.suites)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePlace:
    """Where a role is: the number of its node in this run, from 1, and its ports by name. Its address is known when its node is."""

    suite: str
    role: Role
    node: int
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the work is done and for whom. Passed-through variables are here by name, never by value.

    `gpu_groups` are what each GPU is in, the widest first: its XGMI hive, its NUMA node; empty where that is not known.
    `root` is the tests' tree on this machine; `python` is a path inside the image when `container` is set. With `slurm` the GPUs
    are those of each node.
    """

    executor: ExecutorKind
    root: str
    runs_dir: str
    python: str
    python_version: str
    host: str
    user: str
    gpu_ids: tuple[str, ...]
    gpu_groups: Mapping[str, tuple[str, ...]]
    event: str
    runner_labels: Mapping[str, str]
    shards_in_ci: Mapping[str, int]
    pass_through: tuple[str, ...]
    container: ContainerPlace | None
    engine_build: EnginePlace | None
    slurm: SlurmPlace | None
    roles: tuple[RolePlace, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A suite (`test` empty) or a registered test that will not run, and why."""

    suite: str
    test: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that will be done, and where each value came from.

    `notes` are what a reader has to know (defaults, skips, ignored variables); `partial` names what could not be
    found out, which makes the digest say less than it should. `request` is what was asked, without the command's words, and
    `part` the suites and node ids that alone are kept of what it gives; empty for all. `unverified` says in which fields a plan
    that is run as it was saved is not what its request gives.
    """

    work: Work
    placement: Placement
    sources: Mapping[str, str]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    partial: tuple[str, ...]
    request: Request
    part: tuple[tuple[str, str], ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of `work`, as 64 hex digits."""
        return digest_of(self.work)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, with its digest."""
        return {"schema": SCHEMA, "digest": self.digest, **encode(self)}

    def text(self) -> str:
        """The file that `--plan` reads; ASCII, since arguments and paths may be no valid Unicode."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, data: object, *, where: str) -> "Plan":
        """Rebuild a plan from JSON values.

        Raises:
            UsageError: it is not a plan, is of another schema, or its work does not have the digest that it states.
        """
        if not isinstance(data, dict) or "digest" not in data:
            raise UsageError(f"{where} is not a plan", then=planned_again())
        if data.get("schema") != SCHEMA:
            what = f"{where} is a plan of schema {data.get('schema')!r}; this version reads {SCHEMA}"
            raise UsageError(
                what,
                cause="it was written by another version",
                then=f"{planned_again()}; or git checkout the plan's commit, whose version reads it",
            )
        fields = {key: value for key, value in data.items() if key not in ("schema", "digest")}
        try:
            plan = decode(cls, fields)
        except DecodeError as error:
            problems = [
                Problem(where=wrong.dotted, what=wrong.what, hint=wrong.hint) for wrong in error.wrong
            ]
            raise UsageError(
                f"{where} is not a whole plan",
                problems=problems,
                cause="it was truncated or edited",
                then=planned_again(),
            ) from error
        if plan.digest != data["digest"]:
            what = f"{where} states digest {str(data['digest'])[:12]}, its work has {plan.digest[:12]}"
            raise UsageError(
                what, cause="the file was edited after it was written", then=planned_again(plan.work.stage)
            )
        return plan


def planned_again(stage: str = "STAGE") -> str:
    """The command that makes a plan of this stage."""
    return f"nox -s plan -- {stage} --json > plan.json"


def digest_of(work: Work) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical(work).encode("utf-8", "surrogatepass")).hexdigest()
