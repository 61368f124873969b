"""What the agent is started with: its spec, made of the plan, and its environment. See docs/agent.md and docs/harness.md."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ci.catalog.limits import AgentLimits, HarnessLimits
from ci.catalog.roles import Serves
from ci.catalog.verdicts import Gates, Verdict
from ci.errors import writing
from ci.plan.engine_build import EngineSource
from ci.plan.model import (
    BoundWork,
    CapabilityWork,
    CpuTestsWork,
    ModelWork,
    Plan,
    RolePlace,
    RoleWork,
    RuleWork,
    SharingWork,
    SuiteWork,
    TestWork,
    Work,
)
from ci.system.codec import encode

__all__ = [
    "SCHEMA",
    "ClaimsSpec",
    "HarnessSpec",
    "MetricSpec",
    "NodeSpec",
    "RoleSpec",
    "ServerLimits",
    "Spec",
    "SuiteSpec",
    "TestSpec",
    "VerdictSpec",
    "agent_environ",
    "engine_environ",
    "make_spec",
    "write_spec",
]

SCHEMA = 5
_HARNESS_DIR = Path(__file__).parent.parent.parent / "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSpec:
    """A verdict as the agent needs it; the spec has the worst for the code under test first."""

    id: Verdict
    cause: bool
    gates: Gates


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A row for a metric of a test; `measured_by` are the cases that would measure it."""

    metric: str
    op: str
    limit: float
    unit: str
    source: str
    report_only: bool
    measured_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSpec(TestWork):
    """A test file. `metrics` are the rows that judge it, `quarantine` the rows about it, by their ids."""

    metrics: tuple[MetricSpec, ...]
    quarantine: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec(RoleWork):
    """A role with where it is; it starts when those of a lower `order` are ready."""

    order: int
    serves: Serves
    node: int
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSpec(SuiteWork):
    """Tests in running order, with one environment, one deadline and one retry policy."""

    roles: tuple[RoleSpec, ...]
    tests: tuple[TestSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits(HarnessLimits):
    """The harness's limits; `launch_s` and `stop_s` are how long the engine's server may take to be ready and to end."""

    launch_s: float
    stop_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessSpec:
    """What the catalog says to the harness about this run."""

    hardware_class: str
    rehearsal: bool
    engine: str
    engine_args: tuple[str, ...]
    features: tuple[str, ...]
    known_features: tuple[str, ...]
    models: Mapping[str, ModelWork]
    bounds: Mapping[str, Mapping[str, BoundWork]]
    capabilities: Mapping[str, CapabilityWork]
    limits: ServerLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsSpec:
    """Where the workers of a run on several nodes claim tests; empty where one agent has them all."""

    folder: str = ""
    worker: str = ""
    look_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """Which of the run's nodes this is, from 1, and how others reach it; number 0: all roles are on this machine. `start` counts how often the job was
    started again.
    """

    number: int = 0
    host: str = "127.0.0.1"
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that the agent has to do. It contains no secret: passed-through values reach it by its own environment."""

    schema: int
    run: str
    token: str
    root: str
    run_dir: str
    pythonpath: tuple[str, ...]
    jobs: int
    gpu_ids: tuple[str, ...]
    gpu_groups: Mapping[str, tuple[str, ...]]
    node: NodeSpec
    sharing: SharingWork
    claims: ClaimsSpec
    fail_fast: bool
    pytest_args: tuple[str, ...]
    limits: AgentLimits
    verdicts: tuple[VerdictSpec, ...]
    verdict_rules: tuple[RuleWork, ...]
    cpu_tests: CpuTestsWork
    shared_memory: tuple[str, ...]
    suites: tuple[SuiteSpec, ...]
    harness: HarnessSpec


def make_spec(
    plan: Plan,
    *,
    run: str,
    run_dir: str,
    token: str,
    known_features: tuple[str, ...],
    shared_memory: tuple[str, ...] = (),
) -> Spec:
    """The spec of a plan on this machine; `shared_memory` are prefixes of names in /dev/shm that are swept."""
    work = plan.work
    return Spec(
        schema=SCHEMA,
        run=run,
        token=token,
        root=plan.placement.root,
        run_dir=run_dir,
        pythonpath=(str(_HARNESS_DIR),),
        jobs=work.jobs,
        gpu_ids=plan.placement.gpu_ids,
        gpu_groups=plan.placement.gpu_groups,
        node=NodeSpec(),
        sharing=work.sharing,
        claims=ClaimsSpec(),
        fail_fast=work.fail_fast,
        pytest_args=work.pytest_args,
        limits=work.limits.agent,
        verdicts=tuple(
            VerdictSpec(id=verdict, cause=verdict.row.cause, gates=verdict.row.gates) for verdict in Verdict
        ),
        verdict_rules=work.verdict_rules,
        cpu_tests=work.cpu_tests,
        shared_memory=shared_memory,
        suites=tuple(_suite(suite, plan) for suite in work.suites if suite.tests),
        harness=HarnessSpec(
            hardware_class=work.hardware_class,
            rehearsal=work.rehearsal,
            engine=work.engine,
            engine_args=work.engine_args,
            features=work.features,
            known_features=known_features,
            models=work.models,
            bounds=work.bounds,
            capabilities=work.capabilities,
            limits=ServerLimits(
                **asdict(work.limits.harness), launch_s=work.limits.launch_s, stop_s=work.limits.stop_s
            ),
        ),
    )


def write_spec(path: Path, spec: Spec) -> None:
    """Write it for the agent; only its owner can read it.

    Raises:
        InfrastructureError: it cannot be written.
    """
    with writing(path):
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(json.dumps(encode(spec), indent=1, sort_keys=True) + "\n")


def agent_environ(plan: Plan, environ: Mapping[str, str], *, token: str, root: str = "") -> dict[str, str]:
    """The agent's environment: of the caller's `environ` what the plan passes through, the engine's folders, the run's token."""
    passed = {name: environ[name] for name in plan.placement.pass_through if name in environ}
    return {
        **passed,
        **engine_environ(plan, passed.get("PATH", _CONTAINER_PATH), root=root or plan.placement.root),
        "AMD_CI_TOKEN": token,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


# a container's PATH is not passed through; programs of its image are found here
_CONTAINER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def engine_environ(plan: Plan, path: str, *, root: str) -> dict[str, str]:
    """The variables that lead to the environment that we made for the engine.

    Args:
        plan: what is run.
        path: the PATH that it goes before.
        root: where the tests' tree is seen, whose own SGLang is taken unless a release is named.
    """
    work, place = plan.work.engine_build, plan.placement.engine_build
    if work is None or place is None:
        return {}
    found = {
        "PATH": os.pathsep.join((*place.path, path)),
        "HF_HOME": place.hf_home,
        # the tests of a checkout start servers themselves; the engine's environment puts these before their own arguments
        "AMD_CI_SERVER_ARGS": shlex.join(plan.work.engine_args),
    }
    own = plan.work.checkout and work.source is not EngineSource.RELEASE
    if folders := (*((f"{root}/python",) if own else ()), *place.pythonpath):
        found["PYTHONPATH"] = os.pathsep.join(folders)
    return found


def _suite(suite: SuiteWork, plan: Plan) -> SuiteSpec:
    places = {place.role: place for place in plan.placement.roles if place.suite == suite.id}
    roles = tuple(_role(role, places[role.role]) for role in suite.roles)
    tests = tuple(_test(test, plan.work) for test in suite.tests)
    return SuiteSpec(**{**_values(suite), "roles": roles, "tests": tests})


def _role(role: RoleWork, place: RolePlace) -> RoleSpec:
    kind = role.role.kind
    return RoleSpec(**_values(role), order=kind.order, serves=kind.serves, node=place.node, ports=place.ports)


def _test(test: TestWork, work: Work) -> TestSpec:
    return TestSpec(
        **_values(test),
        metrics=tuple(_metric(name, row) for name, row in sorted(work.bounds.get(test.id, {}).items())),
        quarantine=tuple(row for row in work.quarantine if row.partition("::")[0] == test.id),
    )


def _metric(name: str, row: BoundWork) -> MetricSpec:
    return MetricSpec(
        metric=name,
        op=row.op,
        limit=row.limit,
        unit=row.unit,
        source=row.source,
        report_only=row.report_only,
        measured_by=row.measured_by,
    )


def _values(part: SuiteWork | TestWork | RoleWork) -> dict[str, Any]:
    return {each.name: getattr(part, each.name) for each in fields(part)}
