"""Doubles of machines: no AMD GPU is at hand, so `/sys` and the tools' outputs are built here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.catalog.decode import Reader
from ci.catalog.hardware import HardwareCatalog, load_hardware
from ci.errors import ExitCode, Problem, UsageError
from ci.facts.gpus import Run
from ci.facts.hardware import Hardware, detect
from support.catalog_files import CATALOG_DIR
from support.trees import GIB, gpu_properties

__all__ = [
    "CATALOG",
    "CATALOG_DIR",
    "GFX942",
    "GFX950",
    "GFX1103",
    "MI300X",
    "MI300X_VF",
    "MI325X",
    "MI325X_VF",
    "MI355X",
    "Tools",
    "find",
    "gpu",
    "gpus",
    "load",
    "refused",
    "rocminfo",
    "smi_row",
]

MI300X, MI300X_VF, MI325X, MI325X_VF, MI355X = 0x74A1, 0x74B5, 0x74A5, 0x74B9, 0x75A3
GFX942, GFX950, GFX1103 = 90402, 90500, 110003
VRAM = {MI300X: 192, MI300X_VF: 191.69, MI325X: 256, MI325X_VF: 255.69, MI355X: 288}


def load(folder: Path = CATALOG_DIR) -> tuple[HardwareCatalog, list[Problem]]:
    reader = Reader(folder)
    return load_hardware(reader), reader.problems


CATALOG, _ = load()


def gpu(
    device: int, *, gfx: int = GFX942, vram_gib: float = 0, number: int = 0
) -> tuple[str, list[tuple[int, int]]]:
    """One GPU for `write_kfd`, with the VRAM of its device unless said."""
    size = int((vram_gib or VRAM.get(device, 16)) * GIB)
    unique_id = 0xA000_0000_0000_0000 + number
    return gpu_properties(device, gfx=gfx, minor=128 + number, unique_id=unique_id), [(1, size)]


def gpus(device: int, count: int, *, gfx: int = GFX942) -> list[tuple[str, list[tuple[int, int]]]]:
    return [gpu(device, gfx=gfx, number=number) for number in range(count)]


class Tools:
    """A double of rocminfo and amd-smi: outputs by program and first word, and what was asked for."""

    def __init__(self, outputs: Mapping[str, str] | None = None) -> None:
        self.outputs = dict(outputs or {})
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, argv: tuple[str, ...]) -> str | None:
        self.asked.append(argv)
        return self.outputs.get("rocminfo" if "rocminfo" in argv else " ".join(argv[:2]))


def find(
    sysfs: Path,
    *,
    run: Run | None = None,
    label: str | None = None,
    visible: Mapping[str, str] | None = None,
    catalog: HardwareCatalog = CATALOG,
) -> Hardware:
    return detect(sysfs=sysfs, run=run or Tools(), label=label, visible=visible or {}, catalog=catalog)


def refused(sysfs: Path, **more: object) -> str:
    with pytest.raises(UsageError) as caught:
        find(sysfs, **more)  # type: ignore[arg-type]  # passed on as they are
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.render()


ROCMINFO = """\
ROCk module is loaded
=====================
HSA Agents
==========
*******
Agent 1
*******
  Name:                    AMD EPYC 9575F 64-Core Processor
  Uuid:                    CPU-XX
  Marketing Name:          AMD EPYC 9575F 64-Core Processor
  Node:                    0
  Device Type:             CPU
  Pool Info:
    Pool 1
      Segment:                 GLOBAL; FLAGS: FINE GRAINED
      Size:                    1056871544(0x3efe9478) KB
{agents}*** Done ***
"""

ROCMINFO_GPU = """\
*******
Agent {agent}
*******
  Name:                    gfx942
  Uuid:                    {uuid}
  Marketing Name:          {name}
  Vendor Name:             AMD
  Node:                    {node}
  Device Type:             GPU
  Cache Info:
    L1:                      32(0x20) KB
  Chip ID:                 {chip}({chip:#x})
  Compute Unit:            304
  Pool Info:
    Pool 1
      Segment:                 GLOBAL; FLAGS: COARSE GRAINED
      Size:                    {size_kib}({size_kib:#x}) KB
    Pool 2
      Segment:                 GROUP
      Size:                    64(0x40) KB
  ISA Info:
    ISA 1
      Name:                    amdgcn-amd-amdhsa--gfx942:sramecc+:xnack-
"""


def rocminfo(*devices: tuple[int, str, float], first_node: int = 2) -> str:
    agents = [
        ROCMINFO_GPU.format(
            agent=number + 2,
            uuid=f"GPU-{0xA0 + number:016X}",
            name=name,
            node=first_node + number,
            chip=chip,
            size_kib=int(vram_gib * 2**20),
        )
        for number, (chip, name, vram_gib) in enumerate(devices)
    ]
    return ROCMINFO.format(agents="".join(agents))


def smi_row(number: int, device: str, name: str, size: object, target: str = "gfx942") -> dict[str, object]:
    asic = {"market_name": name, "vendor_id": "0x1002", "device_id": device, "asic_serial": f"0xB{number:X}"}
    return {
        "gpu": number,
        "asic": {**asic, "target_graphics_version": target},
        "vram": {"type": "HBM3", "size": size},
    }
