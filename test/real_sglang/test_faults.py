"""What ends the real SGLang from outside: the verdict, the evidence, and what is left. Each run has a /dev/shm of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.child_processes import end_with_the_test
from support.files import run_folder, wait_for

REPOSITORY = Path(__file__).parents[2]
SANITY = "test/registered/amd/test_basic_sanity.py"
# a server starts in 20 s; a busy machine takes minutes
START_S = 400


@dataclass(frozen=True)
class Started:
    """A run in a mount namespace of its own, by which its processes are known whatever they call themselves."""

    process: subprocess.Popen[bytes]
    runs: Path
    namespace: str

    def processes(self) -> dict[int, str]:
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if str((entry / "ns/mnt").readlink()) == self.namespace:
                    found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
            except OSError:
                continue
        return found

    def events(self) -> list[dict[str, Any]]:
        lines = (run_folder(self.runs) / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def server_log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.runs.glob("2*/logs/*server-1.log"))

    def test_ended(self) -> dict[str, Any]:
        (ended,) = [event for event in self.events() if event["type"] == "test-ended"]
        return ended


@pytest.fixture
def shared_memory(tmp_path: Path) -> Iterator[Path]:
    """What the run sees as /dev/shm, 16 MiB."""
    place = tmp_path / "shm"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def start(tmp_path: Path, shared_memory: Path) -> Started:
    runs = tmp_path / "runs"
    argv = [sys.executable, "-m", "ci", "run", "stage-a-amd", "--engine", "sglang", "--hardware", "cpu"]
    script = 'mount --bind "$0" /dev/shm && exec "$@"'
    with (tmp_path / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(shared_memory)),
                *argv,
                *("--yes", "--test", SANITY),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "AMD_CI_RUNS": str(runs)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end_with_the_test(process)
    place, ours = Path(f"/proc/{process.pid}/ns/mnt"), Path("/proc/self/ns/mnt").readlink()
    wait_for("the namespace", lambda: place.readlink() != ours)
    return Started(process, runs, str(place.readlink()))


def test_a_scheduler_that_is_killed_fails_the_test_and_is_named(tmp_path: Path, shared_memory: Path) -> None:
    run = start(tmp_path, shared_memory)
    wait_for(
        "a server that is ready",
        lambda: (
            list(run.runs.glob("2*/events.jsonl"))
            and any(" ready after " in str(event) for event in run.events())
        ),
        START_S,
    )
    schedulers = [pid for pid, title in run.processes().items() if title.startswith("sglang::scheduler")]
    assert schedulers
    for pid in schedulers:
        os.kill(pid, signal.SIGKILL)
    assert run.process.wait(timeout=120) == 1, (tmp_path / "out.txt").read_text()[-3000:]
    ended = run.test_ended()
    assert ended["verdict"] == "product"
    assert ended["evidence"][0] == "scheduler_0 ended first: signal SIGKILL"
    assert len(ended["evidence"]) < 6
    assert run.processes() == {}
    assert not list(shared_memory.glob("multi_tokenizer_args_*"))


def test_an_interrupt_while_the_server_starts_leaves_nothing(tmp_path: Path, shared_memory: Path) -> None:
    run = start(tmp_path, shared_memory)
    wait_for("a server that starts", lambda: "server_args=" in run.server_log(), START_S)
    assert any("sglang.launch_server" in title for title in run.processes().values())
    begin = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=60) == 130
    assert time.monotonic() - begin < 10
    assert run.test_ended()["verdict"] == "cancelled"
    assert run.processes() == {}
    assert not list(shared_memory.glob("multi_tokenizer_args_*"))


def test_a_full_shared_memory_is_the_infrastructures(tmp_path: Path, shared_memory: Path) -> None:
    space = os.statvfs(shared_memory)
    (shared_memory / "filler").write_bytes(bytes(space.f_bavail * space.f_frsize))
    run = start(tmp_path, shared_memory)
    assert run.process.wait(timeout=START_S) == 4, (tmp_path / "out.txt").read_text()[-3000:]
    ended = run.test_ended()
    assert (ended["verdict"], ended["rule"]) == ("infra", "shared-memory-full")
    assert "df -h /dev/shm" in (tmp_path / "out.txt").read_text()
    assert run.processes() == {}
