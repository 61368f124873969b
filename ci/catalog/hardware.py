"""Hardware classes and how a machine shows which it is: the rows of `hardware.toml`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from ci.catalog.columns import Count, Positive, Regex, Row, Sourced, Text, key, matching, regex_with, within
from ci.catalog.decode import Reader

__all__ = [
    "CPU",
    "Device",
    "EmptyMeans",
    "HardwareCatalog",
    "HardwareClass",
    "IgnoredTarget",
    "LabelRule",
    "ReferenceClass",
    "VisibleVariable",
    "load_hardware",
]

CPU = "cpu"

_Name = Annotated[str, matching(r"[a-z0-9]+", "lower case letters and digits, e.g. mi300x")]
_OF_GPUS = ("target", "vram_gib", "vram_least_gib", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareClass(Sourced):
    """What bounds and suites are about; `target` and `name` are empty and the sizes 0 for `cpu`."""

    PROVIDES: ClassVar[tuple[str, ...]] = ("family",)

    id: _Name
    family: _Name
    target: Annotated[str, matching(r"gfx[0-9a-f]{3,4}", "a GPU target, e.g. gfx942")] = ""
    vram_gib: Positive = 0
    vram_least_gib: Positive = 0
    name: Regex = ""

    def has_name(self, marketing_name: str) -> bool:
        """Whether the marketing name is one of this class."""
        return bool(self.name) and re.search(self.name, marketing_name, re.IGNORECASE) is not None

    def has_vram(self, vram_gib: float) -> bool:
        """Whether a whole GPU of this class may report this size."""
        return bool(self.target) and self.vram_least_gib <= vram_gib <= self.vram_gib


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Row):
    """A PCI device id; `cls` is empty for hardware that is known and not in SGLang's CI."""

    KEY: ClassVar[str] = "name"
    REPEATS: ClassVar[bool] = True

    pci_id: Annotated[int, within(1, 0xFFFF)]
    name: Text
    cls: Annotated[Text, key("class")] = ""
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredTarget(Sourced):
    """A pattern for targets of GPUs that count as none."""

    id: Text
    target: Regex


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule(Row):
    """A pattern for runner labels and host names; its group `gpus` is how many GPUs the label promises."""

    id: Text
    pattern: Annotated[Text, regex_with("gpus")]
    cls: Annotated[Text, key("class")]
    source: Text


class EmptyMeans(StrEnum):
    """How an empty value of a variable that limits the GPUs is read."""

    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleVariable(Row):
    """A variable by which a caller limits the GPUs."""

    name: Annotated[str, key("id"), matching(r"[A-Z_]+", "a variable's name")]
    level: Count
    empty: EmptyMeans
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceClass(Sourced):
    """Hardware that no machine has: bounds may name it, so that comparisons show its numbers."""

    id: _Name


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareCatalog:
    """`hardware.toml`: classes by id, devices by PCI id, the other rows in the file's order."""

    classes: Mapping[str, HardwareClass]
    references: Mapping[str, ReferenceClass]
    devices: Mapping[int, Device]
    ignored: tuple[IgnoredTarget, ...]
    labels: tuple[LabelRule, ...]
    visible: tuple[VisibleVariable, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """The families of GPUs, in the file's order; the CPU has none."""
        return tuple(dict.fromkeys(row.family for row in self.classes.values() if row.id != CPU))

    def label_rule(self, label: str) -> tuple[LabelRule, int] | None:
        """The row for a runner label or host name, and how many GPUs it promises; None when no pattern matches."""
        for row in self.labels:
            if match := re.match(row.pattern, label):
                return row, int(match["gpus"])
        return None

    def ignored_because(self, target: str) -> str:
        """Why a GPU of this target counts as none; empty when it does not."""
        return next((row.why for row in self.ignored if re.fullmatch(row.target, target)), "")


def load_hardware(reader: Reader) -> HardwareCatalog:
    """Read hardware.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("hardware.toml", "class", "reference", "device", "ignored", "label", "visible")
    catalog = HardwareCatalog(
        classes={row.id: row for row in file.rows("class", HardwareClass)},
        references={row.id: row for row in file.rows("reference", ReferenceClass)},
        devices={row.pci_id: row for row in file.rows("device", Device)},
        ignored=file.rows("ignored", IgnoredTarget),
        labels=file.rows("label", LabelRule),
        visible=file.rows("visible", VisibleVariable),
    )
    file.unique("device", "pci_id")
    for row in catalog.classes.values():
        for column in _OF_GPUS if row.id != CPU else ():
            if not reader.has(row, column):
                reader.problem(row, "", f"{column} is missing", "every class but cpu has one")
        if row.vram_least_gib > row.vram_gib:
            what = f"is {row.vram_least_gib:g}, more than vram_gib {row.vram_gib:g}"
            reader.problem(row, "vram_least_gib", what)
    if not reader.may_exist(CPU, catalog.classes):
        file.problem("class", f"no row has id {CPU!r}", "a machine without a GPU needs a class")
    for one in catalog.references.values():
        if one.id in catalog.classes:
            reader.problem(one, "id", f"{one.id!r} is a hardware class as well", "rename one")
    with_gpus = [row.id for row in catalog.classes.values() if row.target]
    for array in ("device", "label"):
        file.refer(array, "class", "hardware class with GPUs", with_gpus)
    return catalog
