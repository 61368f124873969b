"""Which processes hold memory of the GPUs of an attempt, as the KFD counts it in sysfs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Holder", "Kfd"]

# Less is a context, or a monitor: 1.7 GB were enough to break SGLang's memory balance check (sgl-project/sglang#24612).
WORTH_A_NAME_BYTES = 2**30
_COMMAND_CHARS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A GPU in the KFD's topology: its id there, its PCI address, and the number of its render node (0: unknown)."""

    gpu_id: str
    pci: str
    render: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds memory of GPUs; `command` is empty when it cannot be seen from here."""

    pid: int
    command: str
    gpus: tuple[str, ...]
    held_bytes: int

    @property
    def words(self) -> str:
        """`process 4711 (python3 serve.py) holds 120.5 GiB of GPU 0`."""
        who = self.command or "its command cannot be seen from here: another container's, or another user's"
        where = f"GPU{'s' if len(self.gpus) > 1 else ''} {', '.join(self.gpus)}"
        return f"process {self.pid} ({who}) holds {self.held_bytes / 2**30:.1f} GiB of {where}"


class Kfd:
    """The KFD of this machine; everything is empty where there is none.

    `renumbered`: ROCR_VISIBLE_DEVICES is set, so that HIP's ids are not the places in the topology.
    """

    def __init__(
        self, sysfs: Path = Path("/sys"), proc: Path = Path("/proc"), *, renumbered: bool = False
    ) -> None:
        self._kfd = sysfs / "class/kfd/kfd"
        self._drm = sysfs / "class/drm"
        self._proc = proc
        self._nodes = [] if renumbered else _nodes(self._kfd / "topology/nodes")

    def pci_of(self, gpu_ids: Collection[str]) -> tuple[str, ...]:
        """The PCI addresses of these GPUs; empty when they are not known."""
        return tuple(node.pci for node in self._known(gpu_ids).values())

    def used_bytes(self, gpu_ids: Collection[str]) -> Mapping[str, int]:
        """The VRAM in use of each of these GPUs, by amdgpu's own count; a GPU of which it is not known is left out."""
        nodes = {name: node for name, node in self._known(gpu_ids).items() if node.render}
        files = {
            name: self._drm / f"renderD{node.render}/device/mem_info_vram_used"
            for name, node in nodes.items()
        }
        return {name: _number(file) for name, file in files.items() if file.is_file()}

    def holders(self, gpu_ids: Collection[str], is_own: Callable[[int], bool]) -> tuple[Holder, ...]:
        """Who holds much of the memory of these GPUs, of all GPUs where they are not known; our own processes left out."""
        names = {node.gpu_id: name for name, node in self._known(gpu_ids).items()}
        found = []
        for folder in _listed(self._kfd / "proc"):
            if not folder.name.isdecimal() or is_own(int(folder.name)):
                continue
            held = {
                file.name.removeprefix("vram_"): _number(file)
                for file in _listed(folder)
                if file.name.startswith("vram_") and (not names or file.name.removeprefix("vram_") in names)
            }
            held = {gpu: count for gpu, count in held.items() if count}
            if sum(held.values()) >= WORTH_A_NAME_BYTES:
                found.append(
                    Holder(
                        pid=int(folder.name),
                        command=self._command(folder.name),
                        gpus=tuple(names.get(gpu, f"with KFD id {gpu}") for gpu in held),
                        held_bytes=sum(held.values()),
                    )
                )
        return tuple(sorted(found, key=lambda holder: -holder.held_bytes))

    def _known(self, gpu_ids: Collection[str]) -> Mapping[str, _Node]:
        places = {name: int(name) for name in gpu_ids if name.isdecimal()}
        if len(places) < len(gpu_ids) or any(place >= len(self._nodes) for place in places.values()):
            return {}
        return {name: self._nodes[place] for name, place in places.items()}

    def _command(self, pid: str) -> str:
        """The KFD's ids are the machine's: in a container the same number may be another process."""
        process = self._proc / pid
        if not any(_is_kfd(entry) for entry in _listed(process / "fd")):
            return ""
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            return ""
        return command.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:_COMMAND_CHARS]


def _nodes(folder: Path) -> Sequence[_Node]:
    """The GPUs in the order in which HIP numbers them; CPUs, and GPUs that we may not read, are left out."""
    found = []
    for node in sorted(
        (each for each in _listed(folder) if each.name.isdecimal()), key=lambda each: int(each.name)
    ):
        try:
            lines = (node / "properties").read_text().splitlines()
            gpu_id = (node / "gpu_id").read_text().strip()
        except OSError:
            continue
        facts = {
            key: int(value) for key, _, value in (line.partition(" ") for line in lines) if value.isdecimal()
        }
        if facts.get("simd_count", 0):
            place = facts.get("location_id", 0)
            pci = f"{facts.get('domain', 0):04x}:{place >> 8:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
            found.append(_Node(gpu_id=gpu_id, pci=pci, render=facts.get("drm_render_minor", 0)))
    return found


def _listed(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _is_kfd(entry: Path) -> bool:
    try:
        return str(entry.readlink()) == "/dev/kfd"
    except OSError:
        return False


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
