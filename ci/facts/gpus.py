"""The GPUs that a machine shows: the KFD's topology in sysfs, and what rocminfo and amd-smi print."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["Gpu", "Run", "Seen", "ask_tools", "numbered", "parse_amd_smi", "parse_rocminfo", "read_kfd"]

# Runs a command and gives its standard output, None when it could not be run or failed.
Run = Callable[[tuple[str, ...]], str | None]

_AMD_VENDOR = 0x1002
_MIB = 2**20
# heap_type of the KFD's memory banks: VRAM that the CPU can see, and VRAM that it cannot
_VRAM_HEAPS = {1, 2}
# the type of an io_link of the KFD over PCIe; one over XGMI is 11, which GPUs of one hive have to each other
_PCIE = 2

# rocminfo obeys ROCR_VISIBLE_DEVICES; we count that in ourselves, once for every source
_ROCMINFO = ("env", "-u", "ROCR_VISIBLE_DEVICES", "rocminfo")
_AMD_SMI_STATIC = ("amd-smi", "static", "--asic", "--vram", "--json")
_AMD_SMI_LIST = ("amd-smi", "list", "--json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One AMD GPU.

    `id` is what HIP_VISIBLE_DEVICES has to hold for a process that inherits our ROCR_VISIBLE_DEVICES to get this GPU;
    `index` its place among all GPUs of the machine. `groups` are the XGMI hive and the CPU
    node that it is in. What a source does not tell is None, empty or 0.
    """

    id: str
    index: int
    node: int | None = None
    pci_id: int | None = None
    name: str = ""
    target: str = ""
    vram_mib: int = 0
    unique_id: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one source says: all GPUs of the machine in the order of their HIP ids."""

    gpus: tuple[Gpu, ...]
    source: str
    notes: tuple[str, ...] = ()


def read_kfd(sysfs: Path) -> Seen | None:
    """The GPUs of the KFD's topology, None when there is none.

    The KFD numbers CPU sockets and GPUs alike; HIP numbers the GPUs among them in the same order. A node that may not
    be read is a GPU that this container was not given (the device cgroup forbids it): HIP does not count it either.
    """
    nodes = sysfs / "class/kfd/kfd/topology/nodes"
    try:
        numbers = sorted(int(entry.name) for entry in nodes.iterdir() if entry.name.isdecimal())
    except OSError:
        return None
    gpus: list[Gpu] = []
    notes: list[str] = []
    for number in numbers:
        try:
            facts = _properties(nodes / str(number))
            if facts.get("simd_count", 0) == 0:
                continue
            if (vendor := facts.get("vendor_id", _AMD_VENDOR)) != _AMD_VENDOR:
                notes.append(f"KFD node {number} is of vendor {vendor:#06x} and is left out")
                continue
            banks = [_properties(bank) for bank in sorted((nodes / str(number) / "mem_banks").glob("*"))]
        except PermissionError:
            notes.append(f"KFD node {number} may not be read: that GPU is not available to this run")
            continue
        except OSError as error:
            notes.append(f"cannot read KFD node {number}: {error.strerror}")
            continue
        vram = sum(bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in _VRAM_HEAPS)
        gpus.append(
            Gpu(
                id=str(len(gpus)),
                index=len(gpus),
                node=number,
                pci_id=facts.get("device_id") or None,
                target=_target(facts.get("gfx_target_version", 0)),
                vram_mib=vram // _MIB,
                unique_id=f"{facts['unique_id']:016x}" if facts.get("unique_id") else "",
                groups=_groups(nodes / str(number), number, facts),
            )
        )
    return Seen(gpus=tuple(gpus), source="KFD topology", notes=tuple(notes))


def _groups(node: Path, number: int, facts: Mapping[str, int]) -> tuple[str, ...]:
    """The hive of a GPU, itself where it has none, and the nearest CPU node that it hangs on; empty where that cannot be read."""
    hive = f"hive {facts['hive_id']:x}" if facts.get("hive_id") else f"GPU node {number}"
    try:
        links = [_properties(link) for link in sorted((node / "io_links").glob("*"))]
        sockets = [
            (link.get("weight", 0), link["node_to"])
            for link in links
            if link.get("type") == _PCIE
            and "node_to" in link
            and not _properties(node.parent / str(link["node_to"])).get("simd_count", 0)
        ]
    except OSError:
        return ()
    return (hive, f"CPU node {min(sockets)[1]}") if sockets else (hive,)


def _properties(folder: Path) -> dict[str, int]:
    lines = (line.split() for line in (folder / "properties").read_text(errors="replace").splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}


def _target(version: int) -> str:
    """The LLVM target of a `gfx_target_version`: 90402 is gfx942, 90010 gfx90a, 110003 gfx1103."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version else ""


def ask_tools(run: Run) -> Seen | None:
    """The GPUs that rocminfo or else amd-smi names, None when neither names one."""
    if (text := run(_ROCMINFO)) and (gpus := parse_rocminfo(text)):
        return Seen(gpus=gpus, source="rocminfo")
    if (text := run(_AMD_SMI_STATIC)) and (gpus := parse_amd_smi(text, run(_AMD_SMI_LIST) or "")):
        is_sure = all(gpu.node is not None for gpu in gpus)
        notes = () if is_sure else ("amd-smi list has no KFD nodes: the order of the GPUs is a guess",)
        return Seen(gpus=gpus, source="amd-smi", notes=notes)
    return None


def parse_rocminfo(text: str) -> tuple[Gpu, ...]:
    """The GPU agents in rocminfo's output, in the order of their nodes."""
    found: list[Gpu] = []
    for agent in re.split(r"^\s*Agent \d+\s*$", text, flags=re.MULTILINE)[1:]:
        # the first of each counts: pools and ISAs below repeat some names
        facts: dict[str, str] = {}
        for key, value in re.findall(r"^[ \t]*([A-Z][\w ]*):[ \t]+(\S.*?)[ \t]*$", agent, re.MULTILINE):
            facts.setdefault(key, value)
        if facts.get("Device Type") != "GPU":
            continue
        sizes_kib = [int(size) for size in re.findall(r"^[ \t]*Size:[ \t]+(\d+)\(0x", agent, re.MULTILINE)]
        chip = re.match(r"\d+", facts.get("Chip ID", ""))
        node = facts.get("Node", "")
        unique_id = re.fullmatch(r"GPU-([0-9a-fA-F]{16})", facts.get("Uuid", ""))
        gpu = Gpu(
            id="",
            index=0,
            node=int(node) if node.isdecimal() else None,
            pci_id=(int(chip.group()) or None) if chip else None,
            name=facts.get("Marketing Name", ""),
            target=facts.get("Name", ""),
            vram_mib=max(sizes_kib, default=0) // 1024,
            unique_id=unique_id.group(1).lower() if unique_id else "",
        )
        found.append(gpu)
    return numbered(sorted(found, key=lambda gpu: gpu.node or 0))


def parse_amd_smi(static: str, listing: str) -> tuple[Gpu, ...]:
    """The GPUs in `amd-smi static --asic --vram --json`, in the order of their nodes in `amd-smi list --json`.

    amd-smi numbers by PCI address, HIP by KFD node: its GPU 0 was seen as HIP's 7.
    """
    pairs = ((row.get("gpu"), row.get("node_id")) for row in _json_rows(listing))
    nodes = {gpu: node for gpu, node in pairs if isinstance(gpu, int) and isinstance(node, int)}
    found: list[tuple[int, Gpu]] = []
    for row in _json_rows(static):
        asic, number = _table(row.get("asic")), row.get("gpu")
        if not isinstance(number, int) or not asic:
            continue
        gpu = Gpu(
            id="",
            index=0,
            node=nodes.get(number),
            pci_id=_hexadecimal(asic.get("device_id")),
            name=_known(asic.get("market_name")),
            target=_known(asic.get("target_graphics_version")),
            vram_mib=_mib(_table(_table(row.get("vram")).get("size"))),
            unique_id=f"{serial:016x}" if (serial := _hexadecimal(asic.get("asic_serial"))) else "",
        )
        found.append((nodes.get(number, number), gpu))
    return numbered([gpu for _, gpu in sorted(found, key=lambda pair: pair[0])])


def _json_rows(text: str) -> list[Mapping[str, Any]]:
    """The rows of amd-smi's JSON, which is a list or, in newer versions, an object with the list in `gpu_data`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = value.get("gpu_data") if isinstance(value, dict) else value
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _known(value: Any) -> str:
    return value if isinstance(value, str) and value != "N/A" else ""


def _hexadecimal(value: Any) -> int | None:
    return int(value, 16) if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]+", value) else None


def _mib(size: Mapping[str, Any]) -> int:
    value, unit = size.get("value"), size.get("unit")
    if not isinstance(value, int):
        return 0
    return value // _MIB if unit == "B" else value * 1024 if unit == "GB" else value


def numbered(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs with their places as ids and indices."""
    return tuple(replace(gpu, id=str(number), index=number) for number, gpu in enumerate(gpus))
