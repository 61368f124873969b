"""Hardware classes and how a machine shows which it is: the rows of `hardware.toml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = [
    "CPU",
    "Device",
    "HardwareCatalog",
    "HardwareClass",
    "IgnoredTarget",
    "LabelRule",
    "ReferenceClass",
    "VisibleVariable",
    "load_hardware",
]

CPU = "cpu"

_FILE = "hardware.toml"
_TARGET = r"gfx[0-9a-f]{3,4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareClass:
    """What bounds and suites are about; `target` and `name` are empty and the sizes 0 for `cpu`."""

    id: str
    family: str
    target: str
    vram_gib: float
    vram_least_gib: float
    name: str
    why: str
    source: str

    def has_name(self, marketing_name: str) -> bool:
        """Whether the marketing name is one of this class."""
        return bool(self.name) and re.search(self.name, marketing_name, re.IGNORECASE) is not None

    def has_vram(self, vram_gib: float) -> bool:
        """Whether a whole GPU of this class may report this size."""
        return bool(self.target) and self.vram_least_gib <= vram_gib <= self.vram_gib


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A PCI device id; `cls` is empty for hardware that is known and not in SGLang's CI."""

    pci_id: int
    name: str
    cls: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredTarget:
    """A pattern for targets of GPUs that count as none."""

    id: str
    target: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """A pattern for runner labels and host names; its group `gpus` is how many GPUs the label promises."""

    id: str
    pattern: str
    cls: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleVariable:
    """A variable by which a caller limits the GPUs; `empty_means_all` is how an empty value is read."""

    name: str
    level: int
    empty_means_all: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceClass:
    """Hardware that no machine of ours is of: bounds may name it, so that its numbers stand beside ours."""

    id: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareCatalog:
    """`hardware.toml`: classes by id, devices by PCI id, the other rows in the file's order."""

    classes: Mapping[str, HardwareClass]
    references: Mapping[str, ReferenceClass]
    devices: Mapping[int, Device]
    ignored: tuple[IgnoredTarget, ...]
    labels: tuple[LabelRule, ...]
    visible: tuple[VisibleVariable, ...]

    def ignored_because(self, target: str) -> str:
        """Why a GPU of this target counts as none; empty when it does not."""
        return next((row.why for row in self.ignored if re.fullmatch(row.target, target)), "")


def load_hardware(problems: list[Problem], folder: Path = Path(__file__).parent) -> HardwareCatalog:
    """Read and check `hardware.toml`; what is wrong is added to `problems`."""
    tables = Tables(
        folder / _FILE, problems, arrays=("class", "reference", "device", "ignored", "label", "visible")
    )
    class_rows, device_rows = tables.rows("class"), tables.rows("device")
    reference_rows = tables.rows("reference")
    ignored_rows, label_rows, visible_rows = (
        tables.rows("ignored"),
        tables.rows("label"),
        tables.rows("visible"),
    )
    for rows in (class_rows, reference_rows, ignored_rows, label_rows, visible_rows):
        tables.unique(rows)
    classes = [_class(row) for row in class_rows]
    if class_rows and CPU not in {one.id for one in classes}:
        tables.problem("class", f"no row is {CPU!r}", "a machine without a GPU needs a class")
    class_ids = [one.id for one in classes if one.target]
    references = [_reference(row) for row in reference_rows]
    for one in references:
        if one.id in {row.id for row in classes}:
            tables.problem(f"reference[{one.id}]", "is a hardware class as well", "rename one")
    devices: dict[int, Device] = {}
    for row in device_rows:
        device = _device(row, class_ids)
        if device.pci_id in devices:
            row.problem("pci_id", f"{device.pci_id:#x} stands there twice", "an id has one row")
        devices[device.pci_id] = device
    return HardwareCatalog(
        classes={one.id: one for one in classes},
        references={one.id: one for one in references},
        devices=devices,
        ignored=tuple(_ignored(row) for row in ignored_rows),
        labels=tuple(_label(row, class_ids) for row in label_rows),
        visible=tuple(_visible(row) for row in visible_rows),
    )


def _pattern(row: Row, key: str, *, group: str = "") -> str:
    """A regular expression, with a named group when one is asked for."""
    text = row.text(key)
    try:
        compiled = re.compile(text)
    except re.error as error:
        row.problem(key, f"is no regular expression: {error}")
        return "(?!)"
    if group and text and group not in compiled.groupindex:
        row.problem(key, f"has no group {group!r}", f"write (?P<{group}>...)")
        return "(?!)"
    return text


def _class(row: Row) -> HardwareClass:
    is_cpu = row.raw("id") == CPU
    cls = HardwareClass(
        id=row.text("id", matches=r"[a-z0-9]+"),
        family=row.text("family", matches=r"[a-z0-9]+"),
        target="" if is_cpu else row.text("target", matches=_TARGET),
        vram_gib=0 if is_cpu else row.number("vram_gib", above=0),
        vram_least_gib=0 if is_cpu else row.number("vram_least_gib", above=0),
        name="" if is_cpu else _pattern(row, "name"),
        why=row.text("why"),
        source=row.text("source"),
    )
    if cls.vram_least_gib > cls.vram_gib:
        row.problem("vram_least_gib", f"is {cls.vram_least_gib:g}, more than vram_gib {cls.vram_gib:g}")
    row.done()
    return cls


def _reference(row: Row) -> ReferenceClass:
    reference = ReferenceClass(
        id=row.text("id", matches=r"[a-z0-9]+"), why=row.text("why"), source=row.text("source")
    )
    row.done()
    return reference


def _device(row: Row, class_ids: Sequence[str]) -> Device:
    device = Device(
        pci_id=row.whole("pci_id", least=1),
        name=row.text("name"),
        cls=row.text("class", "", among=class_ids),
        source=row.text("source"),
    )
    if device.pci_id > 0xFFFF:
        row.problem("pci_id", f"is {device.pci_id:#x}", "a PCI device id has four hexadecimal digits")
    row.done()
    return device


def _ignored(row: Row) -> IgnoredTarget:
    ignored = IgnoredTarget(
        id=row.text("id"), target=_pattern(row, "target"), why=row.text("why"), source=row.text("source")
    )
    row.done()
    return ignored


def _label(row: Row, class_ids: Sequence[str]) -> LabelRule:
    label = LabelRule(
        id=row.text("id"),
        pattern=_pattern(row, "pattern", group="gpus"),
        cls=row.text("class", among=class_ids),
        source=row.text("source"),
    )
    row.done()
    return label


def _visible(row: Row) -> VisibleVariable:
    visible = VisibleVariable(
        name=row.text("id", matches=r"[A-Z_]+"),
        level=row.whole("level", least=1),
        empty_means_all=row.text("empty", among=("all", "none")) == "all",
        source=row.text("source"),
    )
    row.done()
    return visible
