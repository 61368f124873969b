"""The state of GPUs as amdgpu and the KFD show it: VRAM in use, error counters, and which processes hold a GPU."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.catalog.health import HealthRows

__all__ = ["GpuState", "Holder", "Look", "Machine", "look"]

_MIB = 2**20
_CONTAINER = re.compile(r"\b[0-9a-f]{64}\b")
_TOKEN = b"AMD_CI_TOKEN="


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a machine's state is read: its `/sys`, its `/proc`, and how a tool is run (None: it failed or is missing)."""

    sysfs: Path
    proc: Path
    run: Callable[[tuple[str, ...]], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU. `name` is its render node, or its number in a tool's output; `counters` by the row's id."""

    name: str
    used_bytes: int
    total_bytes: int
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """VRAM in use as a share of all, 0 to 1."""
        return self.used_bytes / self.total_bytes if self.total_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has the KFD open. `token` is that of the run that started it, `container` the id of its container.

    Both are empty when they cannot be seen. `vram_bytes` is what the KFD counts for it, 0 when it counts nothing.
    """

    pid: int
    command: str
    token: str
    container: str
    vram_bytes: int
    zombie: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen; `source` is empty when nothing could be, and `missing` says what was tried."""

    gpus: tuple[GpuState, ...]
    holders: tuple[Holder, ...]
    source: str
    missing: tuple[str, ...] = ()


def look(machine: Machine, nodes: Sequence[str], rows: HealthRows) -> Look:
    """Look at the GPUs of these render nodes (`/dev/dri/renderD128`): sysfs first, else the first tool that answers."""
    missing: list[str] = []
    gpus: list[GpuState] = []
    for node in nodes:
        state = _from_sysfs(machine.sysfs, node, rows)
        if state is None:
            missing.append(f"{node}: amdgpu shows no VRAM in sysfs")
        else:
            gpus.append(state)
    holders = _holders(machine)
    if nodes and not missing:
        return Look(gpus=tuple(gpus), holders=holders, source="amdgpu in sysfs")
    for tool in rows.tools:
        printed = machine.run(tool.argv)
        shown = _PARSERS[tool.id](printed) if printed is not None else None
        if shown:
            return Look(gpus=shown, holders=holders, source=tool.id, missing=tuple(missing))
        missing.append(f"{tool.id}: {'is missing or failed' if printed is None else 'printed no VRAM'}")
    # what sysfs shows of some GPUs is better than nothing
    source = "amdgpu in sysfs" if gpus else ""
    return Look(gpus=tuple(gpus), holders=holders, source=source, missing=tuple(missing))


def _from_sysfs(sysfs: Path, node: str, rows: HealthRows) -> GpuState | None:
    device = sysfs / "class/drm" / node.rpartition("/")[2] / "device"
    used, total = _number(device / "mem_info_vram_used"), _number(device / "mem_info_vram_total")
    if used is None or not total:
        return None
    counters = {row.id: _count(device, row.glob, row.field) for row in rows.counters}
    return GpuState(
        name=node.rpartition("/")[2],
        used_bytes=used,
        total_bytes=total,
        counters={name: value for name, value in counters.items() if value is not None},
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _count(device: Path, glob: str, name: str) -> int | None:
    """The sum of a field over all files, None when none of them has it."""
    found = []
    for path in device.glob(glob):
        try:
            text = path.read_text()
        except OSError:
            continue
        found += [int(value) for value in re.findall(rf"^{re.escape(name)}:\s*(\d+)", text, re.MULTILINE)]
    return sum(found) if found else None


def _holders(machine: Machine) -> tuple[Holder, ...]:
    """Processes that the KFD lists, and those that have /dev/kfd open as far as we may see."""
    vram: dict[int, int] = {}
    for entry in _listed(machine.sysfs / "class/kfd/kfd/proc"):
        if entry.name.isdecimal():
            vram[int(entry.name)] = sum(_number(path) or 0 for path in entry.glob("vram_*"))
    for entry in _listed(machine.proc):
        if entry.name.isdecimal() and int(entry.name) not in vram and _has_kfd(entry):
            vram[int(entry.name)] = 0
    return tuple(_holder(machine.proc / str(pid), pid, count) for pid, count in sorted(vram.items()))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _has_kfd(process: Path) -> bool:
    for entry in _listed(process / "fd"):
        try:
            if str(entry.readlink()) == "/dev/kfd":
                return True
        except OSError:
            continue
    return False


def _holder(process: Path, pid: int, vram_bytes: int) -> Holder:
    command = _bytes(process / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    tokens = [part for part in _bytes(process / "environ").split(b"\0") if part.startswith(_TOKEN)]
    group = _CONTAINER.search(_bytes(process / "cgroup").decode(errors="replace"))
    state = _bytes(process / "stat").decode(errors="replace").rpartition(")")[2].split()
    return Holder(
        pid=pid,
        command=command or "cannot read its command line",
        token=tokens[0].removeprefix(_TOKEN).decode(errors="replace") if tokens else "",
        container=group.group() if group else "",
        vram_bytes=vram_bytes,
        zombie=bool(state) and state[0] == "Z",
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# --- what tools print


def _json(printed: str) -> Any:
    # the tools print warnings before their JSON
    starts = [at for at in (printed.find("["), printed.find("{")) if at >= 0]
    try:
        return json.loads(printed[min(starts) :]) if starts else None
    except ValueError:
        return None


def _amd_smi(printed: str) -> tuple[GpuState, ...]:
    """`[{"gpu": 0, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}, "used_vram": ...}}]`, perhaps in `gpu_data`."""
    data = _json(printed)
    rows = data.get("gpu_data", []) if isinstance(data, Mapping) else data
    found = []
    for row in rows if isinstance(rows, list) else ():
        usage = row.get("mem_usage") if isinstance(row, Mapping) else None
        if not isinstance(usage, Mapping):
            continue
        used, total = _mib(usage.get("used_vram")), _mib(usage.get("total_vram"))
        if used is not None and total:
            found.append(
                GpuState(name=f"GPU {row.get('gpu')}", used_bytes=used * _MIB, total_bytes=total * _MIB)
            )
    return tuple(found)


def _mib(value: Any) -> int | None:
    """amd-smi says MB and means MiB: an MI300X's 192 GiB are 196592 there."""
    number = value.get("value") if isinstance(value, Mapping) else None
    return int(number) if isinstance(number, int | float) and not isinstance(number, bool) else None


def _rocm_smi(printed: str) -> tuple[GpuState, ...]:
    """`{"card0": {"VRAM Total Memory (B)": "206141652992", "VRAM Total Used Memory (B)": "297127936"}}`."""
    data = _json(printed)
    found = []
    for name, row in data.items() if isinstance(data, Mapping) else ():
        try:
            total, used = int(row["VRAM Total Memory (B)"]), int(row["VRAM Total Used Memory (B)"])
        except (KeyError, TypeError, ValueError):
            continue
        found.append(
            GpuState(name=f"GPU {str(name).removeprefix('card')}", used_bytes=used, total_bytes=total)
        )
    return tuple(found)


_PARSERS: Mapping[str, Callable[[str], tuple[GpuState, ...]]] = {"amd-smi": _amd_smi, "rocm-smi": _rocm_smi}
