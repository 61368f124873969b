"""Capabilities: server arguments that an engine may have on one hardware class and not on another."""

from collections.abc import Mapping
from pathlib import Path

from ci.catalog.hardware import CPU, HardwareCatalog
from ci.catalog.records import Capability, Engine
from ci.catalog.toml_reader import Tables
from ci.errors import Problem

__all__ = ["load_capabilities"]

_ID = r"[a-z][a-z0-9_]*"
_URL = r"https://\S+"


def load_capabilities(
    problems: list[Problem], folder: Path, hardware: HardwareCatalog, engines: Mapping[str, Engine]
) -> tuple[Capability, ...]:
    """Read and check `capabilities.toml`; what is wrong is added to `problems`.

    Each capability has exactly one row for every hardware class and the engine that serves it, so that no machine
    finds out at launch that nobody thought of it. A row that leaves an argument out on a GPU names an issue: what
    keeps the argument out is somebody's to mend.
    """
    tables = Tables(folder / "capabilities.toml", problems, arrays=("capability",))
    found = []
    seen: dict[tuple[str, str, str], str] = {}
    for row in tables.rows("capability"):
        capability = Capability(
            id=row.text("id", matches=_ID),
            engine=row.text("engine", among=engines),
            hardware=row.texts("hardware", among=hardware.classes),
            args=row.texts("args"),
            allowed=row.flag("allowed"),
            why=row.text("why"),
            issue=row.text("issue", "", matches=_URL),
            source=row.text("source"),
        )
        if row.raw("allowed") is None:
            row.problem("allowed", "is missing", "true or false")
        if not capability.allowed and not capability.issue and set(capability.hardware) - {CPU}:
            row.problem(
                "issue", "is missing", "the URL of the issue that tracks why the argument is left out"
            )
        for hardware_class in dict.fromkeys(capability.hardware):
            key = (capability.id, capability.engine, hardware_class)
            if key in seen:
                what = f"{capability.id} for {capability.engine} on {hardware_class} stands there twice"
                row.problem("", what, f"see {seen[key]}")
            seen[key] = row.where
            if capability.engine in engines and hardware_class not in engines[capability.engine].default_for:
                row.problem("hardware", f"{capability.engine} does not serve {hardware_class}")
        row.done()
        found.append(capability)
    for capability_id in dict.fromkeys(row.id for row in found if row.id):
        for engine in engines.values():
            for hardware_class in engine.default_for:
                if (capability_id, engine.id, hardware_class) not in seen:
                    what = f"has no row for {engine.id} on {hardware_class}"
                    tables.problem(f"capability[{capability_id}]", what, "say whether it is allowed there")
    return tuple(found)
