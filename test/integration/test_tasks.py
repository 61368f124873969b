"""The operators' verbs through the real `inv`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import REPOSITORY, child_env


def inv(*arguments: str, runs: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "invoke", *arguments]
    return subprocess.run(
        argv, cwd=REPOSITORY, env=child_env(runs), capture_output=True, text=True, timeout=60, check=False
    )


def test_doctor_shows_what_this_machine_can_run(tmp_path: Path) -> None:
    done = inv("doctor", runs=tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    for word in ("hardware", "engine llamacpp", "engine sglang", "commit", "GiB free"):
        assert word in done.stdout


def test_prune_keeps_the_newest_run_folders_and_everything_that_is_none(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in (
        "20260101T000000Z-stage-a-amd-aa",
        "20260102T000000Z-stage-a-amd-bb",
        "20260103T000000Z-stage-a-amd-cc",
    ):
        (runs / name).mkdir(parents=True)
        (runs / name / "plan.json").write_text("{}")
    (runs / "notes").mkdir()
    assert "2 run folders would be removed" in inv("runs.prune", "--keep", "1", "--dry", runs=runs).stdout
    assert len(list(runs.iterdir())) == 4
    assert inv("runs.prune", "--keep", "1", runs=runs).returncode == 0
    assert {path.name for path in runs.iterdir()} == {"20260103T000000Z-stage-a-amd-cc", "notes"}


def test_a_verb_that_refuses_ends_with_our_code(tmp_path: Path) -> None:
    done = inv("runs.prune", "--keep", "-1", runs=tmp_path / "runs")
    assert done.returncode == 2
    assert "error (exit 2)" in done.stdout + done.stderr


@pytest.mark.parametrize("owner_is_dead", [True, False])
def test_sweep_ends_what_a_dead_run_left_and_no_living_one(tmp_path: Path, owner_is_dead: bool) -> None:  # noqa: FBT001
    token = "amdci-" + ("0" if owner_is_dead else "1") * 32
    live = tmp_path / "runs/.live"
    live.mkdir(parents=True)
    sleeper = subprocess.Popen(["sleep", "60"], env={"AMD_CI_TOKEN": token}, start_new_session=True)
    try:
        owner = subprocess.Popen(["sleep", "60"])
        start = int(Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        (live / f"{token}.json").write_text(
            json.dumps({"pid": owner.pid, "start_ticks": start, "boot_id": boot})
        )
        if owner_is_dead:
            owner.kill()
            owner.wait()
        done = inv("runs.sweep", runs=tmp_path / "runs")
        assert done.returncode == 0, done.stderr
        if owner_is_dead:
            assert sleeper.wait(timeout=5) == -9
            assert not list(live.iterdir())
        else:
            assert sleeper.poll() is None
            assert list(live.iterdir())
    finally:
        for process in (sleeper, owner):
            process.kill()
            process.wait()
