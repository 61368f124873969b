"""Capabilities: server arguments that an engine may have on one hardware class and not on another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ci.catalog.columns import Sourced, Text, Url, matching
from ci.catalog.decode import Reader
from ci.catalog.engines import Engine
from ci.catalog.hardware import CPU, HardwareCatalog

__all__ = ["Capability", "load_capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability(Sourced):
    """Whether a server gets `args` when a test asks for `id`, for one engine on some hardware classes.

    Where it is not `allowed`, `args` is what is left out and `issue` the URL of what has to change first.
    """

    REPEATS: ClassVar[bool] = True

    id: Annotated[str, matching(r"[a-z][a-z0-9_]*", "lower case letters, digits and _, e.g. aiter_attention")]
    engine: Text
    hardware: tuple[Text, ...]
    args: tuple[Text, ...]
    allowed: bool
    issue: Url = ""


def load_capabilities(
    reader: Reader, hardware: HardwareCatalog, engines: Mapping[str, Engine]
) -> tuple[Capability, ...]:
    """Read capabilities.toml; what is wrong with it is added to the reader's problems.

    Each capability has exactly one row for every hardware class and each engine that serves it, so that a
    missing one is found here and not at launch. A row that leaves an argument out on a GPU names the issue that
    tracks why.
    """
    file = reader.open("capabilities.toml", "capability")
    rows = file.rows("capability", Capability)
    file.refer("capability", "engine", "engine", engines)
    file.refer("capability", "hardware", "hardware class", hardware.classes)
    seen: dict[tuple[str, str, str], Capability] = {}
    for row in rows:
        if not row.allowed and not row.issue and set(row.hardware) - {CPU}:
            hint = "the URL of the issue that tracks why the argument is left out"
            reader.problem(row, "issue", "is missing", hint)
        engine = engines.get(row.engine)
        for hardware_class in dict.fromkeys(row.hardware):
            first = seen.setdefault((row.id, row.engine, hardware_class), row)
            if first is not row:
                what = f"{row.id} for {row.engine} on {hardware_class} appears twice"
                reader.problem(row, "", what, f"first in {reader.line(first)}")
            if engine and hardware_class in hardware.classes and not engine.serves(hardware_class):
                reader.problem(row, "hardware", f"{row.engine} does not serve {hardware_class}")
    if file.complete("capability"):
        for capability in dict.fromkeys(row.id for row in rows):
            for engine in engines.values():
                for hardware_class in engine.services:
                    if (capability, engine.id, hardware_class) not in seen:
                        what = f"{capability} has no row for {engine.id} on {hardware_class}"
                        file.problem("capability", what, "say whether it is allowed there")
    return rows
