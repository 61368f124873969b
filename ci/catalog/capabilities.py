"""Capabilities: server arguments that an engine may have on one hardware class and not on another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ci.catalog.columns import Row, Sourced, Text, Url, matching
from ci.catalog.decode import Reader
from ci.catalog.engines import Engine
from ci.catalog.hardware import CPU, HardwareCatalog
from ci.catalog.versions import Versions, gap_in, span_of

__all__ = ["Capability", "LeftOutUntil", "load_capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutUntil(Row):
    """A list of SGLang's argument checks, by its name there, and the value that it does not have yet."""

    list: Text
    has: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability(Sourced):
    """Whether a server gets `args` when a test asks for `id`, for one engine on some hardware classes.

    Where it is not `allowed`, `args` is what is left out and `issue` the URL of what has to change first. `versions` are the
    releases of the engine that the row is for, empty for all. `left_out_until` says what makes such a row stale.
    """

    REPEATS: ClassVar[bool] = True

    id: Annotated[str, matching(r"[a-z][a-z0-9_]*", "lower case letters, digits and _, e.g. aiter_attention")]
    engine: Text
    hardware: tuple[Text, ...]
    args: tuple[Text, ...]
    allowed: bool
    issue: Url = ""
    versions: Versions = ""
    left_out_until: LeftOutUntil | None = None


def load_capabilities(
    reader: Reader, hardware: HardwareCatalog, engines: Mapping[str, Engine]
) -> tuple[Capability, ...]:
    """Read capabilities.toml; what is wrong with it is added to the reader's problems.

    Each capability has a row for every hardware class and each engine that serves it, so that a missing one is found
    here and not at launch. Several are for ranges of versions that do not overlap and leave no release out. A row that
    leaves an argument out on a GPU names the issue that tracks why.
    """
    file = reader.open("capabilities.toml", "capability")
    rows = file.rows("capability", Capability)
    file.refer("capability", "engine", "engine", engines)
    file.refer("capability", "hardware", "hardware class", hardware.classes)
    seen: dict[tuple[str, str, str], list[Capability]] = {}
    for row in rows:
        if not row.allowed and not row.issue and set(row.hardware) - {CPU}:
            hint = "the URL of the issue that tracks why the argument is left out"
            reader.problem(row, "issue", "is missing", hint)
        if row.allowed and row.left_out_until:
            reader.problem(row, "left_out_until", "is for a row that is not allowed")
        engine = engines.get(row.engine)
        for hardware_class in dict.fromkeys(row.hardware):
            others = seen.setdefault((row.id, row.engine, hardware_class), [])
            span = span_of(row.versions)
            for other in others:
                if span.overlaps(span_of(other.versions)):
                    what = f"{row.id} for {row.engine} on {hardware_class} appears twice"
                    hint = f"first in {reader.line(other)}; two rows need versions that do not overlap"
                    reader.problem(row, "", what, hint)
            others.append(row)
            if engine and hardware_class in hardware.classes and not engine.serves(hardware_class):
                reader.problem(row, "hardware", f"{row.engine} does not serve {hardware_class}")
    if file.complete("capability"):
        for capability in dict.fromkeys(row.id for row in rows):
            for engine in engines.values():
                for hardware_class in engine.services:
                    if (capability, engine.id, hardware_class) not in seen:
                        what = f"{capability} has no row for {engine.id} on {hardware_class}"
                        file.problem("capability", what, "say whether it is allowed there")
        for (capability, name, hardware_class), found in seen.items():
            if gap := gap_in(row.versions for row in found):
                what = f"{capability} for {name} on {hardware_class} has no row for {gap}"
                reader.problem(found[-1], "versions", what, "say with a row whether it is allowed there")
    return rows
