"""What a run left is found by its token, and ended only when its owner has ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.execute.process_sweep import processes_with, register, sweep, sweep_ended_runs, unregister
from ci.system import clock
from ci.system.process_identity import owner_of_self

pytestmark = pytest.mark.processes


@pytest.fixture
def token() -> str:
    return clock.new_token()


@pytest.fixture
def left(token: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a run: it holds the run's token."""
    argv = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(argv, env={"AMD_CI_TOKEN": token}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def write_note(live: Path, token: str, **changes: object) -> Path:
    owner = owner_of_self()
    content = {"pid": owner.pid, "start_ticks": owner.start_ticks, "boot_id": owner.boot_id, **changes}
    live.mkdir(exist_ok=True)
    path = live / f"{token}.json"
    path.write_text(json.dumps(content))
    return path


def test_a_process_is_found_by_its_token_and_shown_by_its_command(
    token: str, left: subprocess.Popen[bytes]
) -> None:
    (found,) = processes_with(token)
    assert found.pid == left.pid
    assert "time.sleep(60)" in found.command
    assert processes_with(token[:-1]) == ()


def test_this_process_is_not_what_is_left(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMD_CI_TOKEN", token)
    assert os.getpid() not in [found.pid for found in processes_with(token)]


def test_what_is_left_is_ended_and_named(token: str, left: subprocess.Popen[bytes]) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        left.wait(30)

    assert [found.pid for found in sweep(token, wait=wait)] == [left.pid]
    assert left.returncode == -9
    assert len(waits) == 1
    assert sweep(token, wait=wait) == ()
    assert len(waits) == 1


def test_a_run_whose_owner_lives_is_left_alone(
    token: str, left: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    live = tmp_path / "new" / ".live"
    register(live, token, tmp_path)
    assert sweep_ended_runs(live, wait=clock.sleep_s, goes_on=ends) == ()
    assert left.poll() is None
    assert [path.name for path in live.iterdir()] == [f"{token}.json"]
    register(live, token, tmp_path)
    unregister(live, token)
    unregister(live, token)
    assert list(live.iterdir()) == []


@pytest.mark.parametrize("changes", [{"start_ticks": 1}, {"boot_id": "before"}, {"pid": 2**22 + 1}])
def test_a_run_whose_owner_has_ended_is_ended(
    token: str, left: subprocess.Popen[bytes], tmp_path: Path, changes: dict[str, object]
) -> None:
    note = write_note(tmp_path, token, **changes)
    swept = sweep_ended_runs(tmp_path, wait=lambda _seconds: void(left.wait(30)), goes_on=ends)
    assert [found.pid for found in swept] == [left.pid]
    assert not note.exists()


def test_a_run_that_goes_on_without_its_owner_is_left_alone(
    token: str, left: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    note = write_note(tmp_path, token, start_ticks=1, run="/runs/one")
    asked: list[Path] = []

    def goes_on(run: Path) -> bool:
        asked.append(run)
        return True

    assert sweep_ended_runs(tmp_path, wait=clock.sleep_s, goes_on=goes_on) == ()
    assert asked == [Path("/runs/one")]
    assert left.poll() is None
    assert note.exists()


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_note_that_was_cut_is_that_of_an_ended_run(tmp_path: Path, token: str, text: str) -> None:
    note = write_note(tmp_path, token)
    note.write_text(text)
    other = tmp_path / "leaks.json"
    other.write_text("{}")
    assert sweep_ended_runs(tmp_path, wait=clock.sleep_s, goes_on=ends) == ()
    assert (note.exists(), other.exists()) == (False, True)


def ends(_run: Path) -> bool:
    """No run goes on without its owner."""
    return False


def void(_value: object) -> None:
    """Nothing, whatever was waited for."""
