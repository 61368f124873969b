"""What the machine did: the kernel's messages, OOM kills, and who holds memory of GPUs, in folders of sysfs's form."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from ci.agent.gpu_memory import Kfd
from ci.agent.kernel_log import KernelLog, own_groups
from ci.agent.machine import MachineFacts, MachineWatch
from ci.agent.processes import OomKills

GIB = 2**30

FAULT = "amdgpu 0000:05:00.0: amdgpu: [gfxhub0] no-retry page fault (src_id:0 ring:24 vmid:8 pasid:32770)"
OWNER = "amdgpu 0000:05:00.0: amdgpu:  for process python3 pid 4711 thread python3 pid 4711)"
ECC = "amdgpu 0000:9d:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block"


class Kmsg:
    """A file in place of /dev/kmsg."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kmsg"
        self.path.write_text("6,1,100,-;amdgpu 0000:05:00.0: amdgpu: before the attempt\n")

    def add(self, *messages: str, level: int = 6) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{level},2,200,-;{message}\n SUBSYSTEM=pci\n" for message in messages)


@pytest.fixture
def kmsg(tmp_path: Path) -> Kmsg:
    return Kmsg(tmp_path)


class TestKernelLog:
    def test_what_was_said_about_gpus_since_then(self, kmsg: Kmsg) -> None:
        log = KernelLog(kmsg.path)
        kmsg.add(
            FAULT,
            OWNER,
            "usb 1-1: new high-speed USB device number 2",
            "docker0: port 1 entered blocking state",
        )
        assert log.end() == (FAULT, OWNER)
        assert log.unknown == ""

    def test_a_line_that_a_program_wrote_is_no_word_of_the_kernel(self, kmsg: Kmsg) -> None:
        log = KernelLog(kmsg.path)
        kmsg.add(ECC, level=14)
        assert log.end() == ()

    def test_lines_about_another_gpu_are_left_out(self, kmsg: Kmsg) -> None:
        log = KernelLog(kmsg.path)
        kmsg.add(FAULT, ECC, "[drm] GPU recovery disabled.")
        assert log.end(pci=["0000:9d:00.0"]) == (ECC, "[drm] GPU recovery disabled.")

    OURS = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/docker/a1,task_memcg=/docker/a1/x,task=python3,pid=9,uid=0",
        "Memory cgroup out of memory: Killed process 9 (python3) total-vm:276024kB, anon-rss:61952kB, UID:0",
    )

    def test_oom_kills_in_other_cgroups_are_left_out(self, kmsg: Kmsg) -> None:
        log = KernelLog(kmsg.path)
        kmsg.add(*(line.replace("/a1", "/b2") for line in self.OURS), *self.OURS)
        assert log.end(groups=["/docker/a1"]) == self.OURS

    @pytest.mark.parametrize("groups", [[], ["/"], ["/docker/a"]])
    def test_without_a_cgroup_of_its_own_all_are(self, kmsg: Kmsg, groups: list[str]) -> None:
        log = KernelLog(kmsg.path)
        kmsg.add(*self.OURS)
        assert log.end(groups=groups) == ()

    def test_own_groups(self) -> None:
        assert own_groups("0::/user.slice/run\n") == ["/user.slice/run"]
        assert own_groups("9:cpu,memory:/a:b\n8:pids:/c\n") == ["/a:b"]

    def test_where_there_is_no_kmsg_syslog_is_asked(self, tmp_path: Path) -> None:
        texts = iter(["[ 1.0] old\n[ 2.0] last\n", f"[ 2.0] last\n[ 3.0] {FAULT}\n"])
        log = KernelLog(tmp_path / "none", lambda: next(texts))
        assert (log.end(), log.unknown) == ((FAULT,), "")

    def test_where_both_are_refused_it_is_unknown_with_the_reason(self, tmp_path: Path) -> None:
        def refuse() -> str:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        log = KernelLog(tmp_path / "none", refuse)
        assert log.end() == ()
        assert log.unknown == (
            f"the kernel log is unknown: {tmp_path / 'none'}: No such file or directory; syslog(2): Operation not permitted"
        )


class Sysfs:
    """The KFD's files: two GPUs behind a CPU, and the processes that use them."""

    def __init__(self, folder: Path) -> None:
        self.sysfs, self.proc = folder / "sys", folder / "proc"
        self._kfd = self.sysfs / "class/kfd/kfd"
        for node, (gpu_id, simds, location) in enumerate(
            [("0", 0, 0), ("51110", 304, 0x500), ("9231", 304, 0x9D00)]
        ):
            self._write(f"topology/nodes/{node}/gpu_id", f"{gpu_id}\n")
            text = f"cpu_cores_count {96 if not simds else 0}\nsimd_count {simds}\nlocation_id {location}\ndomain 0\n"
            self._write(f"topology/nodes/{node}/properties", text)

    def _write(self, path: str, text: str) -> None:
        (self._kfd / path).parent.mkdir(parents=True, exist_ok=True)
        (self._kfd / path).write_text(text)

    def hold(self, pid: int, *, command: str = "", **held: float) -> None:
        """A process that holds so many GiB of GPUs by their ids; it is seen in /proc when it has a command."""
        for name, gib in held.items():
            self._write(f"proc/{pid}/{name}", f"{int(gib * GIB)}\n")
        if command:
            process = self.proc / str(pid)
            (process / "fd").mkdir(parents=True)
            (process / "fd/7").symlink_to("/dev/kfd")
            (process / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")

    def kfd(self, *, renumbered: bool = False) -> Kfd:
        return Kfd(self.sysfs, self.proc, renumbered=renumbered)


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def words(kfd: Kfd, gpu_ids: Iterable[str], own: int = 0) -> list[str]:
    return [holder.words for holder in kfd.holders(list(gpu_ids), lambda pid: pid == own)]


class TestHolders:
    def test_they_are_named_with_the_command_and_what_they_hold(self, sysfs: Sysfs) -> None:
        sysfs.hold(4711, command="python3 -m sglang.launch_server --tp 2", vram_51110=120.5, vram_9231=1)
        sysfs.hold(12, command="python3 train.py", vram_51110=130)
        assert words(sysfs.kfd(), "0") == [
            "process 12 (python3 train.py) holds 130.0 GiB of GPU 0",
            "process 4711 (python3 -m sglang.launch_server --tp 2) holds 120.5 GiB of GPU 0",
        ]
        assert words(sysfs.kfd(), "01")[1].endswith("holds 121.5 GiB of GPUs 0, 1")

    def test_those_of_other_gpus_our_own_and_small_ones_are_not(self, sysfs: Sysfs) -> None:
        sysfs.hold(1, command="a", vram_9231=50)
        sysfs.hold(2, command="b", vram_51110=50)
        sysfs.hold(3, command="c", vram_51110=0.2)
        assert words(sysfs.kfd(), "0", own=2) == []

    def test_a_process_that_cannot_be_seen_is_named_by_its_number(self, sysfs: Sysfs) -> None:
        """In a container the numbers are the machine's: the same one here may be another process."""
        sysfs.hold(77, vram_51110=50)
        (sysfs.proc / "77").mkdir(parents=True)
        (sysfs.proc / "77/cmdline").write_bytes(b"sleep\x001\x00")
        assert words(sysfs.kfd(), "0") == [
            "process 77 (its command cannot be seen from here: another container's, or another user's) holds 50.0 GiB of GPU 0"
        ]

    def test_with_other_numbers_every_gpu_counts_by_the_kfds_own_id(self, sysfs: Sysfs) -> None:
        sysfs.hold(1, command="a", vram_9231=50)
        assert words(sysfs.kfd(renumbered=True), "0") == [
            "process 1 (a) holds 50.0 GiB of GPU with KFD id 9231"
        ]
        assert words(sysfs.kfd(), ["GPU-8f"]) == ["process 1 (a) holds 50.0 GiB of GPU with KFD id 9231"]

    def test_without_a_kfd_there_are_none(self, tmp_path: Path) -> None:
        kfd = Kfd(tmp_path, tmp_path)
        assert (words(kfd, "0"), kfd.pci_of(["0"])) == ([], ())

    def test_the_addresses_are_those_of_the_kernels_messages(self, sysfs: Sysfs) -> None:
        assert sysfs.kfd().pci_of(["1", "0"]) == ("0000:9d:00.0", "0000:05:00.0")
        assert sysfs.kfd().pci_of(["2"]) == ()


class TestWatch:
    def watch(
        self, sysfs: Sysfs, kmsg: Kmsg, *kills: OomKills, alone: bool = True, gpu: str = "0"
    ) -> MachineWatch:
        counts = iter(kills or [OomKills(count=0, own=True)] * 2)
        return MachineWatch(
            gpu_ids=[gpu],
            is_own=lambda _pid: False,
            alone=alone,
            kfd=sysfs.kfd(),
            kernel_log=KernelLog(kmsg.path),
            count=lambda: next(counts),
        )

    def test_one_that_held_memory_at_the_beginning_is_named_although_it_has_ended(
        self, sysfs: Sysfs, kmsg: Kmsg
    ) -> None:
        sysfs.hold(5, command="a", vram_51110=50)
        watch = self.watch(sysfs, kmsg)
        (sysfs.sysfs / "class/kfd/kfd/proc/5/vram_51110").write_text("0\n")
        sysfs.hold(6, command="b", vram_51110=60)
        assert [line.split()[1] for line in watch.end().holders] == ["6", "5"]

    def test_only_messages_about_its_own_gpus(self, sysfs: Sysfs, kmsg: Kmsg) -> None:
        watch = self.watch(sysfs, kmsg, gpu="1")
        kmsg.add(FAULT, ECC)
        assert watch.end().kernel_log == (ECC,)

    @pytest.mark.parametrize(("alone", "lines"), [(True, (FAULT,)), (False, ())])
    def test_where_a_gpus_address_is_unknown_a_message_is_a_lone_attempts(
        self, sysfs: Sysfs, kmsg: Kmsg, *, alone: bool, lines: tuple[str, ...]
    ) -> None:
        watch = self.watch(sysfs, kmsg, gpu="7", alone=alone)
        kmsg.add(FAULT)
        assert watch.end().kernel_log == lines

    def test_kills_in_its_own_cgroup_count_and_those_of_the_machine_only_for_who_was_killed(
        self, sysfs: Sysfs, kmsg: Kmsg
    ) -> None:
        own = self.watch(sysfs, kmsg, OomKills(count=3, own=True), OomKills(count=4, own=True)).end()
        assert [own.kills_of(was_killed=killed) for killed in (False, True)] == [1, 1]
        machine = self.watch(sysfs, kmsg, OomKills(count=3, own=False), OomKills(count=5, own=False)).end()
        assert [machine.kills_of(was_killed=killed) for killed in (False, True)] == [0, 2]
        assert machine.unknown == (
            "2 OOM kills on this machine; whose is unknown: our own cgroup has no counter",
        )

    def test_a_quiet_machine_has_no_facts(self, sysfs: Sysfs, kmsg: Kmsg) -> None:
        assert self.watch(sysfs, kmsg).end() == MachineFacts()
