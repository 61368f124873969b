"""GPU health before and after a run, on trees built as amdgpu and the KFD fill them: no AMD GPU is at hand."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ci.catalog.limits import HealthLimits
from ci.docker.labels import labels_of, ownership_of
from ci.docker.sweep import Tenant
from ci.errors import InfrastructureError
from ci.health.gpu_state import Machine, look
from ci.health.snapshot import Health
from ci.record.phases import Phase
from support.catalog_files import catalog
from support.trees import GIB

NODES = ("/dev/dri/renderD128", "/dev/dri/renderD129")
TOTAL = 192 * GIB
MINE, OTHERS = "amdci-mine", "amdci-other"
CONTAINER = "ab" * 32
LIMITS = HealthLimits(busy_share=0.05, residue_mib=1024, clear_s=9, settle_s=3, term_s=1, tool_s=1)


@dataclass
class Double:
    """A machine in a folder, a clock that only sleeping moves, and what happens while somebody sleeps."""

    root: Path
    tools: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now_s: float = 0.0
    meanwhile: Callable[[], None] = lambda: None
    tenants: list[Tenant] = field(default_factory=list)

    def gpu(self, node: str, used: float, *, errors: dict[str, tuple[int, int]] | None = None) -> None:
        device = self.root / "sys/class/drm" / node.rpartition("/")[2] / "device"
        (device / "ras").mkdir(parents=True, exist_ok=True)
        (device / "mem_info_vram_used").write_text(f"{int(used * GIB)}\n")
        (device / "mem_info_vram_total").write_text(f"{TOTAL}\n")
        for block, (ue, ce) in (errors or {}).items():
            (device / "ras" / f"{block}_err_count").write_text(f"ue: {ue}\nce: {ce}\n")

    def holder(
        self,
        pid: int,
        command: str,
        *,
        vram: float = 0,
        token: str = "",
        container: str = "",
        state: str = "S",
    ) -> None:
        process = self.root / "proc" / str(pid)
        process.mkdir(parents=True)
        (process / "cmdline").write_bytes(command.replace(" ", "\0").encode())
        (process / "environ").write_bytes(f"A=1\0AMD_CI_TOKEN={token}\0".encode() if token else b"A=1\0")
        (process / "cgroup").write_text(
            f"4:devices:/docker/{container}\n" if container else "0::/user.slice\n"
        )
        (process / "stat").write_text(f"{pid} (a (b) c) {state} 1 1\n")
        entry = self.root / "sys/class/kfd/kfd/proc" / str(pid)
        entry.mkdir(parents=True)
        (entry / "vram_4711").write_text(str(int(vram * GIB)))

    def run(self, argv: tuple[str, ...]) -> str | None:
        self.asked.append(argv[0])
        return self.tools.get(argv[0])

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.meanwhile()

    def health(self, nodes: Sequence[str] = NODES, *, exclusive: bool = False) -> Health:
        return Health(
            machine=Machine(sysfs=self.root / "sys", proc=self.root / "proc", run=self.run),
            nodes=nodes,
            rows=ROWS,
            limits=LIMITS,
            run="run-now",
            token=MINE,
            leaks=self.root / "runs/.live/leaks.json",
            tenants=lambda: self.tenants,
            exclusive=exclusive,
            stopped=lambda: False,
            monotonic_s=lambda: self.now_s,
            sleep_s=self.sleep,
        )

    def phase(self) -> Phase:
        return Phase(id="health-before", logs=self.root)


ROWS = catalog().health


@pytest.fixture
def machine(tmp_path: Path) -> Double:
    double = Double(root=tmp_path)
    for node in NODES:
        double.gpu(node, 0.3)
    (tmp_path / "proc").mkdir()
    return double


def before(machine: Double, health: Health | None = None) -> Phase:
    phase = machine.phase()
    (health or machine.health()).before(phase)
    return phase


def refused(machine: Double, health: Health | None = None) -> str:
    with pytest.raises(InfrastructureError) as caught:
        before(machine, health)
    return caught.value.render()


def test_clear_gpus_are_reported_with_their_figures(machine: Double) -> None:
    phase = before(machine)
    assert (phase.outcome, phase.text) == (
        "ok",
        "2 GPUs: 0.6 GiB of 384.0 GiB VRAM are in use (amdgpu in sysfs)",
    )
    assert machine.asked == []  # a tool takes seconds and is not needed


def test_a_run_without_gpus_says_that_nothing_was_checked(machine: Double) -> None:
    phase = before(machine, machine.health(()))
    assert phase.outcome == "skipped"
    assert "nothing was checked" in phase.text


def test_no_source_at_all_is_a_warning_and_never_a_silent_pass(tmp_path: Path) -> None:
    machine = Double(root=tmp_path)
    health = machine.health()
    phase = before(machine, health)
    assert phase.outcome == "warned"
    assert "nothing was checked" in phase.text
    assert machine.asked == ["amd-smi", "rocm-smi"]
    assert any("rocm-smi: is missing or failed" in line for line in phase.details)
    after = machine.phase()
    health.after(after)
    assert after.outcome == "skipped"
    assert "nothing can be compared" in after.text


@pytest.mark.parametrize(
    ("tool", "printed"),
    [
        (
            "amd-smi",
            'WARNING: not root\n[{"gpu": 0, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}, "used_vram": {"value": 90000, "unit": "MB"}}}]',
        ),
        (
            "amd-smi",
            '{"gpu_data": [{"gpu": 0, "mem_usage": {"total_vram": {"value": 196592}, "used_vram": {"value": 90000}}}]}',
        ),
        (
            "amd-smi",
            '[{"gpu": 1}, {"gpu": 2, "mem_usage": {"total_vram": {"value": 1}}}, {"gpu": 0, "mem_usage": {"total_vram": {"value": 196592}, "used_vram": {"value": 90000}}}]',
        ),
        (
            "rocm-smi",
            '{"system": "x", "card0": {"VRAM Total Memory (B)": "206141652992", "VRAM Total Used Memory (B)": "94371840000"}}',
        ),
    ],
)
def test_tools_are_asked_where_sysfs_shows_nothing(tmp_path: Path, tool: str, printed: str) -> None:
    machine = Double(root=tmp_path, tools={tool: printed})
    text = refused(machine)
    assert f"1 of 1 GPUs are busy ({tool})" in text
    assert "GPU 0: 87.9 GiB of 192.0 GiB" in text


@pytest.mark.parametrize("printed", ["", "no GPU", "[]", "{}", '{"card0": {}}', "[1]", '[{"mem_usage": 1}]'])
def test_what_a_tool_prints_amiss_counts_as_nothing(tmp_path: Path, printed: str) -> None:
    machine = Double(root=tmp_path, tools={"amd-smi": printed, "rocm-smi": printed})
    assert before(machine).outcome == "warned"


def test_five_percent_is_clear_and_more_is_not(machine: Double) -> None:
    machine.gpu(NODES[0], 192 * 0.05)
    assert before(machine).outcome == "ok"
    machine.gpu(NODES[0], 192 * 0.051)
    assert "renderD128: 9.8 GiB of 192.0 GiB VRAM are in use" in refused(machine)


def test_every_holder_is_named_with_whose_it_is(machine: Double) -> None:
    machine.gpu(NODES[1], 100)
    machine.holder(41, "python3 -m sglang.launch_server", vram=90, token=OTHERS)
    machine.holder(42, "ollama serve", vram=9)
    machine.holder(43, "vllm", container="cd" * 32)
    machine.holder(44, "stale", container=CONTAINER, state="Z")
    labels = labels_of(run="run-before", token=OTHERS, plan="x", kept=False, key="", ttl_s=1)
    ownership = ownership_of(labels)
    assert ownership is not None
    machine.tenants = [
        Tenant(id=CONTAINER, name="amd-ci-before", image="", state="running", status="", ownership=ownership)
    ]
    text = refused(machine)
    assert "process 41 (python3 -m sglang.launch_server), of another run of this project, 90.0 GiB" in text
    assert "process 42 (ollama serve), of another user, 9.0 GiB" in text
    assert "process 43 (vllm), of another user, in container cdcdcdcdcdcd" in text
    assert "process 44 (stale), of run run-before, in container amd-ci-before, a zombie" in text
    assert OTHERS not in text
    assert "other processes use these GPUs" in text
    assert "--exclusive-host" in text


def test_gpus_that_nobody_seems_to_hold_say_so(machine: Double) -> None:
    machine.gpu(NODES[1], 100)
    assert "other processes use these GPUs" not in refused(machine)


def test_vram_that_is_being_freed_is_waited_for(machine: Double) -> None:
    machine.gpu(NODES[0], 100)
    machine.meanwhile = lambda: machine.gpu(NODES[0], 0.3) if machine.now_s >= 2 else None
    assert before(machine).outcome == "ok"
    assert machine.now_s == 2


def test_only_the_gpus_of_the_run_are_looked_at(machine: Double) -> None:
    machine.gpu(NODES[1], 150)
    assert before(machine, machine.health(NODES[:1])).outcome == "ok"


def test_nothing_of_another_user_is_ended(machine: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append((pid, number)))
    machine.gpu(NODES[0], 100)
    machine.holder(42, "ollama serve", vram=99)
    refused(machine)
    assert killed == []
    machine.meanwhile = lambda: machine.gpu(NODES[0], 0.3)
    phase = before(machine, machine.health(exclusive=True))
    assert [pid for pid, _ in killed] == [42, 42]
    assert any("SIGTERM (--exclusive-host): process 42 (ollama serve)" in line for line in phase.details)


def test_errors_of_the_past_are_a_warning_and_new_ones_are_reported_after_the_run(machine: Double) -> None:
    machine.gpu(NODES[0], 0.3, errors={"umc": (1, 5), "sdma": (0, 0)})
    health = machine.health()
    phase = before(machine, health)
    assert phase.outcome == "warned"
    assert "renderD128: 1 uncorrectable errors since it was started" in phase.text
    assert phase.details == ["renderD128: 1 uncorrectable errors since it was started"]
    machine.gpu(NODES[0], 0.3, errors={"umc": (3, 9), "sdma": (0, 0)})
    after = machine.phase()
    health.after(after)
    assert after.outcome == "warned"
    assert [line.partition(" (")[0] for line in after.details] == [
        "renderD128: 2 uncorrectable errors during this run",
        "renderD128: 4 correctable errors during this run",
    ]


class TestLeak:
    def leak(self, machine: Double, used: float) -> Phase:
        health = machine.health()
        before(machine, health)
        machine.gpu(NODES[0], used)
        phase = machine.phase()
        health.after(phase)
        return phase

    def test_less_than_the_row_is_none(self, machine: Double) -> None:
        assert self.leak(machine, 1.2).outcome == "ok"

    def test_what_no_process_holds_is_this_runs_and_the_next_run_says_so(self, machine: Double) -> None:
        phase = self.leak(machine, 11)
        assert phase.outcome == "warned"
        assert "left by this run: renderD128: 11.0 GiB" in phase.text
        assert "the context of an ended one" in phase.details[0]
        assert "renderD128: run run-now reported a leak here" in refused(machine)

    def test_a_process_of_this_run_is_named(self, machine: Double) -> None:
        machine.holder(41, "python3 -m sglang", vram=11, token=MINE)
        phase = self.leak(machine, 11)
        assert "left by this run" in phase.text
        assert "process 41 (python3 -m sglang), of this run, 11.0 GiB" in phase.details

    def test_another_users_is_not_put_on_this_run(self, machine: Double) -> None:
        machine.holder(42, "ollama serve", vram=11)
        phase = self.leak(machine, 11)
        assert "not of this run" in phase.text
        assert not (machine.root / "runs/.live/leaks.json").exists()

    def test_a_note_of_before_the_last_boot_means_nothing(self, machine: Double) -> None:
        self.leak(machine, 11)
        note = machine.root / "runs/.live/leaks.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "boot_id": "earlier"}))
        assert "reported a leak here" not in refused(machine)
        note.write_text("cut")
        assert "reported a leak here" not in refused(machine)

    def test_a_clean_run_takes_the_note_back(self, machine: Double) -> None:
        self.leak(machine, 11)
        machine.gpu(NODES[0], 0.3)
        assert self.leak(machine, 0.3).outcome == "ok"
        assert not (machine.root / "runs/.live/leaks.json").exists()


def test_a_process_that_only_has_the_device_open_is_found(machine: Double) -> None:
    process = machine.root / "proc/77"
    (process / "fd").mkdir(parents=True)
    (process / "fd/5").symlink_to("/dev/kfd")
    (process / "cmdline").write_bytes(b"rocprof\0")
    seen = look(machine.health().machine, NODES, ROWS)
    assert [(holder.pid, holder.command) for holder in seen.holders] == [(77, "rocprof")]
