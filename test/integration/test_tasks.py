"""The operators' verbs through the real `./inv`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import REPOSITORY, child_env


def inv(*arguments: str, runs: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """In a folder that is not the repository: a user's relative paths must mean what they say."""
    # how this machine reaches packages and uv's cache are in the caller's environment
    env = {**os.environ, **child_env(runs), "HOME": str(Path.home()), **environ}
    return subprocess.run(
        [str(REPOSITORY / "inv"), *arguments],
        cwd=runs.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("runs.prune", "--keep", "-1"), "--keep"),
        (("runs.prune", "--keep", "viele"), "'viele' is not a whole number"),
        (("run.prune",), "did you mean 'runs.prune'"),
        (("repro", "--rum"), "did you mean '--run'?"),
    ],
)
def test_a_users_mistake_is_exit_2_without_a_traceback(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = inv(*arguments, runs=tmp_path / "runs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error (exit 2): ")
    assert words in done.stderr
    assert "  next:  " in done.stderr


def test_a_relative_path_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "ci.log").write_text("nothing of ours\n")
    done = inv("repro", "ci.log", runs=tmp_path / "runs")
    assert done.returncode == 2
    assert "ci.log has no run" in done.stderr


def test_the_callers_python_path_and_environment_do_not_reach_a_verb(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise SystemExit(77)\n")
    done = inv("doctor", runs=tmp_path / "runs", PYTHONPATH=str(tmp_path), VIRTUAL_ENV=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_plain_invoke_has_the_same_verbs_and_keeps_its_own_exit_code() -> None:
    argv = [sys.executable, "-m", "invoke", "--list"]
    listed = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert "runs.prune" in listed.stdout
    argv[-1] = "dokter"
    wrong = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 1


@pytest.mark.parametrize("owner_is_dead", [True, False])
def test_sweep_ends_what_a_killed_run_left_and_no_other(tmp_path: Path, owner_is_dead: bool) -> None:  # noqa: FBT001
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
