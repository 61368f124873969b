"""What the catalog says about this run, and the harness's one door to the environment.

The agent writes a JSON file and names it in `AMD_CI_SPEC`; docs/harness.md lists its `harness` object.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from harness.errors import MissingRowError, SpecError

__all__ = [
    "Bound",
    "Capability",
    "Limits",
    "Model",
    "Spec",
    "StandIn",
    "cache_root",
    "child_environment",
    "command_that_runs",
    "current",
    "events_fd",
    "with_path_of",
]

# The session of a file that was started by hand, by how its suite's name begins.
_SESSIONS = (
    ("stage-a-", "stage_a_amd"),
    ("stage-b-", "stage_b_amd"),
    ("stage-c-", "stage_c_amd"),
    ("nightly-", "nightly_dsv4_amd"),
)
_REGISTRATION = re.compile(r"""^register_amd_ci\([^)]*?suite=["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """The small model of a rehearsal: where its weights are, and the sizes that it can bear."""

    id: str
    package: str
    file: str
    slots: int
    context: int
    threads: int
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as tests name it; `path` is what the engine is given, `stand_in` what replaces it in rehearsal."""

    id: str
    path: str
    stand_in: StandIn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a metric has to be on this hardware class; a `report_only` row judges nothing and may have no `op`.

    A floor may have a `ceiling` beside it: both have to hold.
    """

    op: str
    limit: float
    unit: str
    source: str
    report_only: bool
    ceiling: Bound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Server arguments that this engine may be given on this hardware class or not; `issue` may be empty."""

    args: tuple[str, ...]
    allowed: bool
    why: str
    issue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rows `harness.*` of `ci/catalog/limits.toml`, and how long this engine's server may take to be ready and to end."""

    request_s: float
    probe_s: float
    stop_s: float
    failed_requests_max: float
    client_overhead_max: float
    launch_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One run as this test sees it. `bounds` and `models` are whole; `test` is the id of the running test."""

    test: str
    run_dir: Path
    hardware_class: str
    rehearsal: bool
    engine: str
    engine_args: tuple[str, ...]
    features: frozenset[str]
    known_features: frozenset[str]
    models: Mapping[str, Model]
    capabilities: Mapping[str, Capability]
    bounds: Mapping[str, Mapping[str, Bound]]
    limits: Limits

    def model(self, model_id: str) -> Model:
        """The model's row; raises `MissingRowError` when the catalog has none."""
        if model_id not in self.models:
            known = ", ".join(sorted(self.models)) or "none"
            what = "no stand-in" if self.rehearsal else "no row"
            raise MissingRowError(
                f"model {model_id!r} has {what} in ci/catalog/models.toml (known: {known})",
                then=f'add [[model]] id = "{model_id}" with a stand_in and a source',
            )
        return self.models[model_id]

    def capability(self, capability_id: str) -> Capability:
        """The row for this engine and hardware class; raises `MissingRowError` when the catalog has none."""
        if capability_id not in self.capabilities:
            raise MissingRowError(
                f"capability {capability_id!r} has no row for {self.engine} on {self.hardware_class} "
                f"(known: {', '.join(sorted(self.capabilities)) or 'none'})",
                then=(
                    f'add to ci/catalog/capabilities.toml: [[capability]] id = "{capability_id}", '
                    f'engine = "{self.engine}", hardware = ["{self.hardware_class}"], with args, allowed, why and source; '
                    "a row that is there is known here once the test's own file names it: asks=(...) or ASKS = (...)"
                ),
            )
        return self.capabilities[capability_id]

    def sizes(self, model_id: str, kind: str, **asked: Any) -> dict[str, Any]:
        """What a test asked for, in rehearsal overlaid by the stand-in's `sizes.<kind>`."""
        stand_in = self.model(model_id).stand_in
        if not self.rehearsal or stand_in is None:
            return asked
        return {**asked, **stand_in.sizes.get(kind, {})}


def command_that_runs(path: Path) -> str:
    """The command for a test file that was started by hand, e.g. `nox -s stage_a_amd -- --test <path>`."""
    try:
        suites = _REGISTRATION.findall(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        suites = []
    sessions = [session for suite in suites for prefix, session in _SESSIONS if suite.startswith(prefix)]
    try:
        shown = path.resolve().relative_to(Path(__file__).resolve().parents[2])
    except ValueError:
        shown = path
    return f"nox -s {sessions[0] if sessions else 'stage_a_amd'} -- --test {shown}"


def _standing_file() -> Path:
    return next(
        (Path(word) for word in sys.argv if word.endswith(".py") and "test_" in word), Path("<this file>")
    )


def _stand_in(data: Mapping[str, Any] | None) -> StandIn | None:
    if data is None:
        return None
    return StandIn(
        id=data["id"],
        package=data["package"],
        file=data["file"],
        slots=data["slots"],
        context=data["context"],
        threads=data["threads"],
        sizes=data.get("sizes", {}),
    )


def _bound(row: Mapping[str, Any]) -> Bound:
    return Bound(
        op=row["op"],
        limit=row["limit"],
        unit=row["unit"],
        source=row["source"],
        report_only=row["report_only"],
        ceiling=_bound(row["ceiling"]) if row.get("ceiling") else None,
    )


def _parse(data: Mapping[str, Any], test: str) -> Spec:
    harness = data["harness"]
    return Spec(
        test=test,
        run_dir=Path(data["run_dir"]),
        hardware_class=harness["hardware_class"],
        rehearsal=harness["rehearsal"],
        engine=harness["engine"],
        engine_args=tuple(harness["engine_args"]),
        features=frozenset(harness["features"]),
        known_features=frozenset(harness["known_features"]),
        models={
            key: Model(id=key, path=row["path"], stand_in=_stand_in(row["stand_in"]))
            for key, row in harness["models"].items()
        },
        capabilities={
            key: Capability(
                args=tuple(row["args"]), allowed=row["allowed"], why=row["why"], issue=row["issue"]
            )
            for key, row in harness["capabilities"].items()
        },
        bounds={
            test_id: {metric: _bound(row) for metric, row in rows.items()}
            for test_id, rows in harness["bounds"].items()
        },
        limits=Limits(**harness["limits"]),
    )


@functools.lru_cache(maxsize=1)
def current() -> Spec:
    """This run's spec, read once. Raises `SpecError` when there is none or a key is missing."""
    path = os.environ.get("AMD_CI_SPEC", "")
    if not path:
        raise SpecError(
            "AMD_CI_SPEC is not set: a registered test gets its engine, models, bounds and limits from a stage session",
            then=command_that_runs(_standing_file()),
        )
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return _parse(cast("Mapping[str, Any]", data), os.environ.get("AMD_CI_TEST", ""))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}, which AMD_CI_SPEC names, cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecError(
            f"{path}, which AMD_CI_SPEC names, does not fit docs/harness.md: {type(error).__name__} {error}",
            cause="the spec was written by another version of ci/",
        ) from error


def events_fd() -> int | None:
    """The descriptor of the agent's socket, None when there is no agent."""
    value = os.environ.get("AMD_CI_EVENTS_FD", "")
    return int(value) if value.isdigit() else None


def with_path_of(model: Model, variable: str) -> Model:
    """The model with the path that this environment variable holds, the model itself when it is not set."""
    path = os.environ.get(variable, "") if variable else ""
    return replace(model, path=path) if path else model


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: this process's and `extra`, without the socket that it does not inherit."""
    environment = {key: value for key, value in os.environ.items() if key != "AMD_CI_EVENTS_FD"}
    return {**environment, **extra}


def cache_root() -> Path:
    """Where downloads are kept: the Hugging Face cache, which the runners share."""
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
