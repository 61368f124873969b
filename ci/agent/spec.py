"""What the agent has to do: the JSON of a spec, read into values."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from .judge import ABOUT, CONDITIONS, Rule

__all__ = [
    "ClaimsSpec",
    "CpuTests",
    "ErrorPattern",
    "Limits",
    "Metric",
    "Node",
    "NotJudged",
    "OwnVariable",
    "Retry",
    "Role",
    "Sharing",
    "Spec",
    "SpecError",
    "Suite",
    "Test",
    "Verdict",
    "decode",
    "is_number",
    "parse_spec",
]

SCHEMA = 5
# The verdicts that the agent gives without a case or a rule; what it gives for a failed case has to be a cause
GIVEN = (
    "product",
    "infra",
    "oom",
    "unknown",
    "timeout",
    "timeout-while-passing",
    "usage",
    "cancelled",
    "passed",
)
GIVEN_CAUSES = ("product", "infra", "oom")
# How a verdict may gate: see docs/agent.md, "Quarantine".
GATES = ("never", "unless-quarantined", "unless-file-quarantined", "always")

# Where an attempt is tried again: on the same GPUs, on others where the run has them, on others or not at all
RETRY_GPUS = ("same", "other-if-any", "other")
# An empty folder for each attempt, one that the next test of the slot finds again, the first of the slot's ports, or the
# ids of the slots that the test has
OWN_KINDS = ("folder-of-test", "folder-of-slot", "first-port", "slot-ids")


class SpecError(Exception):
    """The spec is invalid; `problems` has everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rows `agent.*` of `ci/catalog/limits.toml`; their meaning is there."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A row of the table of verdicts. `cause`: a failed case or a rule may give it; `gates` is one of `GATES`."""

    id: str
    cause: bool
    gates: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPattern:
    """An error by its class, the beginning of its message, and the file (or a folder, `torch/`) and function that raised it.

    An empty `function` is any.
    """

    id: str
    raises: str
    message: re.Pattern[str]
    raised_in: tuple[str, ...]
    function: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged:
    """An assertion, by its file in the tree and its statement, that judges a model which a stand-in replaced."""

    test: str
    file: str
    expression: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTests:
    """What SGLang's own tests may end with on a CPU: see docs/agent.md, "On a CPU". All empty for any other run."""

    gpu_proofs: tuple[ErrorPattern, ...]
    wrappers: tuple[ErrorPattern, ...]
    server_ends: tuple[ErrorPattern, ...]
    not_judged: tuple[NotJudged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of `bounds.toml` for a metric of a test.

    `measured_by` are the cases that would measure it, as node ids name them behind the file and without parameters; empty
    where that is not known.
    """

    metric: str
    op: str
    limit: float
    unit: str
    source: str
    report_only: bool
    measured_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test file; `path` is relative to the root, `cases` are pytest node ids (none: the whole file).

    `env` goes over the suite's. `metrics` are the rows that judge it, `quarantine` the file's id or node ids of it that
    gate nothing.
    """

    id: str
    path: str
    kind: str
    cases: tuple[str, ...]
    est_s: float
    timeout_s: float
    env: Mapping[str, str]
    metrics: tuple[Metric, ...]
    quarantine: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A verdict that is tried again, up to so many attempts; `gpu` is one of `RETRY_GPUS`."""

    verdict: str
    attempts: int
    gpu: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A server behind the tests of a suite, on a node of the run, which count from 1.

    It is started when all of a lower `order` are ready, and has to be ready within `ready_s`: `GET ready` on its port `http`.
    """

    role: str
    model: str
    gpus: int
    args: tuple[str, ...]
    ready: str
    ready_s: float
    order: int
    serves: str
    node: int
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests with one environment, one deadline and one retry policy; `roles` are started before each attempt."""

    id: str
    timeout_s: float
    gpus: int
    attempts: int
    retry_wait_s: float
    retries: tuple[Retry, ...]
    env: Mapping[str, str]
    roles: tuple[Role, ...]
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVariable:
    """A variable that is each test's own where several run at a time; `kind` is one of `OWN_KINDS`."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What tests that run at a time may not share; `alone` are the ids of tests that run beside no other."""

    alone: tuple[str, ...]
    variables: tuple[OwnVariable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsSpec:
    """Where this agent, `worker`, claims tests that others may run too; it looks there every `look_s`. No `folder`: nobody else does."""

    folder: str
    worker: str
    look_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Which of the run's nodes this is, from 1, and how others reach it; number 0: all roles are on this machine. `start` counts how often the job was
    started again.
    """

    number: int
    host: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that the agent has to do. `verdicts` has the worst for the code under test first."""

    schema: int
    token: str
    root: Path
    run_dir: Path
    pythonpath: tuple[str, ...]
    jobs: int
    gpu_ids: tuple[str, ...]
    gpu_groups: Mapping[str, tuple[str, ...]]
    node: Node
    sharing: Sharing
    claims: ClaimsSpec
    fail_fast: bool
    pytest_args: tuple[str, ...]
    limits: Limits
    verdicts: tuple[Verdict, ...]
    verdict_rules: tuple[Rule, ...]
    cpu_tests: CpuTests
    shared_memory: tuple[str, ...]
    suites: tuple[Suite, ...]


def parse_spec(text: str) -> Spec:
    """The spec in this JSON; raises `SpecError` with the problems found, wrong types before wrong values."""
    problems: list[str] = []
    try:
        spec: Spec = decode(Spec, json.loads(text), "", problems)
    except ValueError as error:
        problems.append(f"not JSON: {error}")
    if not problems:
        problems += _wrong_values(spec)
    if problems:
        raise SpecError(problems)
    return spec


def decode(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    """`value` as a `kind`, a dataclass of this module or a type in its annotations; None where it does not fit."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(value, dict):
        paths = {row.name: f"{where}.{row.name}".lstrip(".") for row in fields(kind)}
        problems += [f"{path} is missing" for name, path in paths.items() if name not in value]
        rows = {row.name: row.type for row in fields(kind)}
        made = {
            name: decode(rows[name], value.get(name), paths[name], problems) for name in rows if name in value
        }
        return kind(**made) if made.keys() == rows.keys() else None  # type: ignore[operator]  # a class, not a value
    if origin is tuple and isinstance(value, list):
        return tuple(
            decode(inner[0], item, f"{where}[{index}]", problems) for index, item in enumerate(value)
        )
    if origin is Mapping and isinstance(value, dict):
        return {key: decode(inner[1], item, f"{where}.{key}", problems) for key, item in value.items()}
    if kind in (float, int) and is_number(value) and value >= 0 and value == kind(value):
        return kind(value)
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind is Path and isinstance(value, str) and Path(value).is_absolute():
        return Path(value)
    if origin is re.Pattern and isinstance(value, str):
        try:
            return re.compile(value, re.MULTILINE)
        except re.error as error:
            problems.append(f"{where} is not a valid regular expression: {error}")
            return None
    names = {float: "a number of at least 0", int: "a whole number of at least 0", Path: "an absolute path"}
    problems.append(
        f"{where or 'it'} is {str(value)[:100]!r}, not {names.get(kind, getattr(kind, '__name__', kind))}"
    )
    return None


def _wrong_values(spec: Spec) -> list[str]:
    """Values of the right type that are invalid."""
    found = [] if spec.schema == SCHEMA else [f"schema is {spec.schema}; this agent reads schema {SCHEMA}"]
    found += [] if spec.jobs else ["jobs is 0"]
    if spec.claims.folder and not Path(spec.claims.folder).is_absolute():
        found.append(f"claims.folder is {spec.claims.folder!r}, not an absolute path")
    if spec.claims.folder and not re.fullmatch(r"[A-Za-z0-9_-]+", spec.claims.worker):
        found.append(f"claims.worker is {spec.claims.worker!r}, not letters and digits")
    for own in spec.sharing.variables:
        kinds = ", ".join(OWN_KINDS)
        found += (
            [] if own.kind in OWN_KINDS else [f"variable {own.name}: kind {own.kind!r} is not one of {kinds}"]
        )
    causes = [verdict.id for verdict in spec.verdicts if verdict.cause]
    known = [verdict.id for verdict in spec.verdicts if verdict.id != "passed"]
    for rule in spec.verdict_rules:
        if rule.verdict not in known:
            found.append(f"rule {rule.id}: verdict {rule.verdict!r} is not one of {', '.join(known)}")
        found += [f"rule {rule.id}: unknown about {each!r}" for each in rule.about if each not in ABOUT]
        found += [] if rule.only_if in CONDITIONS else [f"rule {rule.id}: unknown only_if {rule.only_if!r}"]
    names = {verdict.id for verdict in spec.verdicts}
    found += [f"verdicts has no row {name!r}" for name in GIVEN if name not in names]
    found += [f"verdict {name}: cause is false" for name in GIVEN_CAUSES if name in names - {*causes}]
    for verdict in spec.verdicts:
        if verdict.gates not in GATES:
            found.append(f"verdict {verdict.id}: gates is {verdict.gates!r}, not one of {', '.join(GATES)}")
    for name, count in Counter(suite.id for suite in spec.suites).items():
        found += [f"{count} suites have the id {name!r}"] if count > 1 else []
    for suite in spec.suites:
        where = f"suite {suite.id}"
        found += [] if suite.attempts else [f"{where}: attempts is 0"]
        if spec.gpu_ids and suite.gpus > len(spec.gpu_ids):
            found.append(f"{where} needs {suite.gpus} GPUs, gpu_ids has {len(spec.gpu_ids)}")
        for retry in suite.retries:
            if retry.gpu not in RETRY_GPUS:
                found.append(
                    f"{where}: retry of {retry.verdict}: gpu is {retry.gpu!r}, not one of {', '.join(RETRY_GPUS)}"
                )
        for name, count in Counter(test.id for test in suite.tests).items():
            found += [f"{where}: {count} tests have the id {name!r}"] if count > 1 else []
        for test in suite.tests:
            if test.kind not in ("pytest", "script"):
                found.append(f"{where}: {test.id}: kind {test.kind!r} is neither pytest nor script")
            if not test.path or Path(test.path).is_absolute() or ".." in Path(test.path).parts:
                found.append(f"{where}: {test.id}: {test.path!r} is not a path inside the root")
    return found


def is_number(value: Any) -> bool:
    """Whether it is a finite number; JSON's `1e999` is not, nor is a whole number that no float can hold."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
