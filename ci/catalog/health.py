"""What is looked at on a GPU before and after a run: error counters, and tools for where sysfs shows nothing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ci.catalog.columns import Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.verdicts import Verdict

__all__ = ["Counter", "Growth", "HealthRows", "HealthTool", "SharedMemoryName", "Smi", "load_health"]


class Growth(StrEnum):
    """What it means that a counter grew during a run."""

    HARDWARE = Verdict.HARDWARE.value
    NOTE = "note"


class Smi(StrEnum):
    """The tools whose JSON is understood."""

    AMD_SMI = "amd-smi"
    ROCM_SMI = "rocm-smi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter(Sourced):
    """A number in files below a GPU's device folder; `verdict` says what its growth during a run means."""

    id: Text
    glob: Text
    field: Text
    verdict: Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthTool(Sourced):
    """A command that prints the VRAM in use as JSON."""

    id: Smi
    argv: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemoryName(Sourced):
    """How names in /dev/shm begin that a killed process of an attempt leaves there."""

    KEY: ClassVar[str] = "prefix"

    prefix: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRows:
    """All rows of health.toml."""

    counters: tuple[Counter, ...]
    tools: tuple[HealthTool, ...]
    shared_memory: tuple[SharedMemoryName, ...]


def load_health(reader: Reader) -> HealthRows:
    """Read health.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("health.toml", "counter", "tool", "shared_memory")
    return HealthRows(
        counters=file.rows("counter", Counter),
        tools=file.rows("tool", HealthTool),
        shared_memory=file.rows("shared_memory", SharedMemoryName),
    )
