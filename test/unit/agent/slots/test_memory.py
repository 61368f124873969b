"""The memory of a GPU before its next test; /sys is made up here, no GPU is at hand."""

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from ci.agent.gpu_memory import Kfd
from ci.agent.slot_memory import SlotMemory

pytestmark = pytest.mark.in_container

GIB = 2**30


class MadeUpSys:
    """Two GPUs with their VRAM in use, and the processes that hold it."""

    def __init__(self, folder: Path) -> None:
        self.sysfs = folder / "sys"
        for gpu in range(2):
            node = self.sysfs / f"class/kfd/kfd/topology/nodes/{gpu + 1}"
            node.mkdir(parents=True)
            (node / "properties").write_text(f"simd_count 304\ndrm_render_minor {128 + gpu}\n")
            (node / "gpu_id").write_text(f"{1000 + gpu}\n")
            self.use(gpu, 0.3)

    def use(self, gpu: int, gib: float) -> None:
        file = self.sysfs / f"class/drm/renderD{128 + gpu}/device/mem_info_vram_used"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(int(gib * GIB)))

    def hold(self, pid: int, gpu: int, gib: float) -> None:
        file = self.sysfs / f"class/kfd/kfd/proc/{pid}/vram_{1000 + gpu}"
        file.parent.mkdir(parents=True)
        file.write_text(str(int(gib * GIB)))

    def memory(
        self, *, ours: Collection[int] = (), end: Callable[[Collection[int]], None] = lambda _: None
    ) -> SlotMemory:
        return SlotMemory(
            kfd=Kfd(self.sysfs), gpu_ids=["0", "1"], settle_s=0.3, is_left=lambda pid: pid in ours, end=end
        )


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpSys:
    return MadeUpSys(tmp_path)


def never() -> bool:
    return False


def test_what_was_in_use_before_the_run_is_no_leak(machine: MadeUpSys) -> None:
    machine.use(1, 40)
    assert machine.memory().leak(["0", "1"], give_up=never) is None


def test_holders_of_ours_are_ended_and_the_gpu_is_used_again(machine: MadeUpSys) -> None:
    ended: list[int] = []

    def end(pids: Collection[int]) -> None:
        ended.extend(pids)
        machine.use(0, 0.4)

    memory = machine.memory(ours=[4711], end=end)
    machine.hold(4711, 0, 60)
    machine.use(0, 60.4)
    assert memory.leak(["0"], give_up=never) is None
    assert ended == [4711]


def test_memory_that_stays_is_a_leak_with_its_gpu_and_its_holder(machine: MadeUpSys) -> None:
    ended: list[int] = []
    memory = machine.memory(end=ended.extend)
    machine.hold(99, 1, 12)
    machine.use(1, 12.3)
    found = memory.leak(["0", "1"], give_up=never)
    assert found is not None
    assert found.gpu_ids == ("1",)
    assert "12.0 GiB of GPU 1 still in use 0.3 s after the test ended: process 99" in found.because
    assert ended == [], "a process of somebody else"


def test_memory_that_nobody_holds_is_said_to_be_so(machine: MadeUpSys) -> None:
    memory = machine.memory()
    machine.use(0, 5.3)
    found = memory.leak(["0"], give_up=never)
    assert found is not None
    assert found.because.endswith("no process holds it that can be seen")


def test_gpus_whose_memory_cannot_be_seen_are_known_as_such(tmp_path: Path) -> None:
    memory = SlotMemory(
        kfd=Kfd(tmp_path), gpu_ids=["0"], settle_s=0, is_left=lambda _: False, end=lambda _: None
    )
    assert memory.unknown
    assert memory.leak(["0"], give_up=never) is None
