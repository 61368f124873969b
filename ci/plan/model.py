"""The plan: what will be done, in two parts, and its digest.

`work` is what decides a verdict. `placement` is where and for whom. `sources` says where values came from, by dotted
path. Two runs are the same when the digests of their `work` are equal.
"""

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.catalog.limits import AgentLimits, HarnessLimits
from ci.errors import UsageError
from ci.plan.container.needs import ContainerPlace, ContainerWork
from ci.plan.shards import Shard

__all__ = [
    "SCHEMA",
    "LeftOut",
    "Placement",
    "Plan",
    "SuiteWork",
    "TestWork",
    "Work",
    "WorkLimits",
    "canonical",
    "digest_of",
]

SCHEMA = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TestWork:
    """One test file; `cases` are pytest node ids, empty for the whole file.

    `env` holds only what differs from the suite's environment.
    """

    __test__ = False  # pytest takes a class named Test... for a test

    id: str
    path: str
    kind: str
    cases: tuple[str, ...]
    est_s: float
    timeout_s: float
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteWork:
    """A suite's part of the work: its tests in running order, its environment and its limits in seconds."""

    id: str
    name: str
    shard: Shard | None
    gpus: int
    timeout_s: float
    attempts: int
    retry_wait_s: float
    retry_on: tuple[str, ...]
    env: Mapping[str, str]
    tests: tuple[TestWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """What the agent and the harness wait and cut by; `launch_s` is how long the engine's server may take to be ready."""

    agent: AgentLimits
    harness: HarnessLimits
    launch_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What decides a verdict. `bounds` and `capabilities` are as docs/harness.md has them, `quarantine` the ids that hold.

    `image` is a config digest, None for a run on the host, empty when it could not be resolved; `container` is what else
    a run in a container depends on.
    """

    stage: str
    commit: str
    checkout: str
    hardware_class: str
    rehearsal: bool
    engine: str
    engine_version: str
    features: tuple[str, ...]
    models: Mapping[str, Any]
    image: str | None
    container: ContainerWork | None
    suites: tuple[SuiteWork, ...]
    skipped_suites: tuple[str, ...]
    bounds: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    quarantine: tuple[str, ...]
    limits: WorkLimits
    verdict_rules: tuple[Mapping[str, str], ...]
    jobs: int
    fail_fast: bool
    pytest_args: tuple[str, ...]

    @property
    def tests(self) -> int:
        """How many tests the plan runs."""
        return sum(len(suite.tests) for suite in self.suites)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the work is done and for whom. Passed-through variables stand here by name, never by value.

    `root` is the tests' tree on this machine; `python` is a path inside the image when `container` is set.
    """

    executor: str
    root: str
    runs_dir: str
    python: str
    python_version: str
    host: str
    user: str
    gpu_ids: tuple[str, ...]
    event: str
    runner_labels: Mapping[str, str]
    shards_in_ci: Mapping[str, int]
    pass_through: tuple[str, ...]
    container: ContainerPlace | None
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

    `notes` are what a reader has to be told (defaults, skips, ignored variables); `partial` names what could not be
    found out, which makes the digest say less than it should.
    """

    work: Work
    placement: Placement
    sources: Mapping[str, str]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    partial: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of `work`, as 64 hex digits."""
        return digest_of(self.work)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, with its digest."""
        return {"schema": SCHEMA, "digest": self.digest, **_plain(self)}

    @classmethod
    def from_json(cls, data: Any, *, where: str) -> "Plan":
        """Rebuild a plan from JSON values.

        Raises:
            UsageError: it is no plan, is from another schema, or its work does not have the digest that it states.
        """
        if not isinstance(data, dict) or "digest" not in data:
            raise UsageError(f"{where} holds no plan", then="nox -s plan -- STAGE --json > plan.json")
        if data.get("schema") != SCHEMA:
            what = f"{where} is a plan of schema {data.get('schema')!r}; this version reads {SCHEMA}"
            raise UsageError(
                what, cause="it was written by another version", then="git checkout the plan's commit"
            )
        fields = {key: value for key, value in data.items() if key not in ("schema", "digest")}
        try:
            plan: Plan = _build(cls, fields, where)
        except (TypeError, ValueError, KeyError) as error:
            raise UsageError(f"{where} is not a whole plan: {error}", cause="it was cut or edited") from error
        if plan.digest != data["digest"]:
            what = f"{where} states digest {str(data['digest'])[:12]}, its work has {plan.digest[:12]}"
            raise UsageError(
                what, cause="the file was edited after it was written", then="make the plan again"
            )
        return plan


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, whole numbers without a fraction."""
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_of(work: Work) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical(work).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists, whole floats to ints."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Resolving a dataclass's annotations costs more than building it."""
    return typing.get_type_hints(kind)


def _build(kind: Any, value: Any, where: str) -> Any:
    """The reverse of `_plain`, led by the types that the fields state."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is types.UnionType:
        return (
            None if value is None else _build(next(a for a in arguments if a is not type(None)), value, where)
        )
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise TypeError(f"{where} is {value!r}, not an object")
        hints = _hints(kind)
        names = {field.name for field in dataclasses.fields(kind)}
        if names != set(value):
            odd = sorted(names ^ set(value))
            raise KeyError(f"{where} has other keys than it should: {', '.join(odd)}")
        return kind(**{name: _build(hints[name], value[name], f"{where}.{name}") for name in names})
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{where} is {value!r}, not a list")
        return tuple(_build(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is not None:  # Mapping[str, X]
        if not isinstance(value, dict):
            raise TypeError(f"{where} is {value!r}, not an object")
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{where} is {value!r}, not {kind.__name__}")
    return value
