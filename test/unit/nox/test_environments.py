"""The environments of the sessions: named by their content, made once, by one at a time, swept when unused."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ci.errors import ExitCode, InfrastructureError, UsageError
from ci.nox.environments import (
    PROBE,
    UNUSED_DAYS,
    Environment,
    Interpreter,
    environment,
    find_python,
    find_uv,
    link_dev,
    pin_files,
    prepare,
    running,
    sweep,
)


@pytest.fixture
def pins(tmp_path: Path) -> tuple[Path, ...]:
    folder = tmp_path / "requirements"
    folder.mkdir()
    (folder / "run.txt").write_text("rich==15.0.0\n")
    (folder / "model.txt").write_text("weights==1\n")
    return pin_files(folder, ("run", "model"))


def fake_uv(commands: list[list[str]], wait_s: float = 0) -> Callable[[Sequence[str]], None]:
    """What uv does to the disk: `venv` makes a folder with a Python, `pip sync` needs it."""

    def run(command: Sequence[str]) -> None:
        commands.append(list(command))
        if command[1] == "venv":
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
            time.sleep(wait_s)
        else:
            assert Path(command[command.index("--python") + 1]).exists()

    return run


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


class TestName:
    def test_the_same_python_and_pins_give_the_same_folder_in_any_checkout(
        self, tmp_path: Path, pins: tuple[Path, ...]
    ) -> None:
        again = tmp_path / "other checkout"
        again.mkdir()
        copies = [again / file.name for file in pins]
        for file, copy in zip(pins, copies, strict=True):
            copy.write_bytes(file.read_bytes())
        first, second = environment(tmp_path, running(), pins), environment(tmp_path, running(), copies)
        assert first.folder == second.folder
        assert first.folder.name.startswith("env-")

    def test_anything_that_differs_inside_gives_another_folder(
        self, tmp_path: Path, pins: tuple[Path, ...]
    ) -> None:
        python = running()
        names = {environment(tmp_path, python, pins).folder.name}
        names.add(environment(tmp_path, replace(python, version="3.99.0"), pins).folder.name)
        names.add(environment(tmp_path, replace(python, abi="cpython-399t"), pins).folder.name)
        names.add(environment(tmp_path, replace(python, executable=Path("/other/python")), pins).folder.name)
        names.add(environment(tmp_path, python, pins[:1]).folder.name)
        pins[0].write_text("rich==15.0.1\n")
        names.add(environment(tmp_path, python, pins).folder.name)
        assert len(names) == 6

    def test_a_group_without_a_pin_file_is_named_with_the_command_that_makes_it(
        self, pins: tuple[Path, ...]
    ) -> None:
        with pytest.raises(UsageError) as caught:
            pin_files(pins[0].parent, ("run", "new", "newer"))
        assert "new.txt, newer.txt" in str(caught.value)
        assert caught.value.then == "nox -s pins"


class TestPrepare:
    @pytest.fixture
    def wanted(self, tmp_path: Path, pins: tuple[Path, ...]) -> Environment:
        return environment(tmp_path / "envs", running(), pins)

    def test_it_is_made_from_hashed_wheels_and_marked_last(
        self, wanted: Environment, pins: tuple[Path, ...]
    ) -> None:
        commands: list[list[str]] = []

        def run(command: Sequence[str]) -> None:
            assert not wanted.marker.exists()
            fake_uv(commands)(command)

        prepare(wanted, uv="/bin/uv", run=run, log=Log())
        assert wanted.is_ready()
        venv, sync = commands
        assert venv[-3:] == ["--python", str(running().executable), str(wanted.folder)]
        assert {"--require-hashes", "--no-build"} <= set(sync)
        assert sync[-2:] == [str(file) for file in pins]

    def test_one_that_is_ready_is_not_touched(self, wanted: Environment) -> None:
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        commands: list[list[str]] = []
        prepare(wanted, uv="uv", run=fake_uv(commands), log=Log())
        assert commands == []

    def test_one_that_is_incomplete_is_made_again(self, wanted: Environment) -> None:
        (wanted.folder / "lib").mkdir(parents=True)
        (wanted.folder / "lib" / "half a package").touch()
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        assert wanted.is_ready()
        assert not (wanted.folder / "lib").exists()

    def test_one_whose_python_was_removed_is_made_again(self, wanted: Environment, tmp_path: Path) -> None:
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        wanted.python.unlink()
        wanted.python.symlink_to(tmp_path / "gone")
        assert not wanted.is_ready()
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        assert wanted.is_ready()

    def test_a_failed_installation_leaves_nothing_that_looks_ready(self, wanted: Environment) -> None:
        def run(command: Sequence[str]) -> None:
            if command[1] != "venv":
                raise InfrastructureError("no network")
            fake_uv([])(command)

        with pytest.raises(InfrastructureError, match="no network"):
            prepare(wanted, uv="uv", run=run, log=Log())
        assert not wanted.is_ready()

    def test_two_at_once_make_it_once_and_the_second_says_that_it_waits(self, wanted: Environment) -> None:
        commands: list[list[str]] = []
        logs = [Log(), Log()]
        threads = [
            threading.Thread(
                target=prepare,
                args=(wanted,),
                kwargs={"uv": "uv", "run": fake_uv(commands, wait_s=0.3), "log": log},
            )
            for log in logs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wanted.is_ready()
        assert [command[1] for command in commands] == ["venv", "pip"]
        assert sorted(len(log.lines) for log in logs) == [0, 1]

    def test_a_folder_that_cannot_be_made_is_exit_4_with_the_way_out(
        self, tmp_path: Path, wanted: Environment
    ) -> None:
        (tmp_path / "file").touch()
        there = replace(wanted, folder=tmp_path / "file" / "env-x")
        with pytest.raises(InfrastructureError) as caught:
            prepare(there, uv="uv", run=fake_uv([]), log=Log())
        assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
        assert str(tmp_path / "file") in caught.value.what
        assert "--envdir" in caught.value.then

    def test_what_is_unused_is_swept_and_what_was_used_is_not(self, wanted: Environment) -> None:
        day = 86400
        now = time.time()
        old, used, half = (wanted.folder.parent / name for name in ("env-old", "env-used", "env-half"))
        for folder in (old, used, half):
            folder.mkdir(parents=True)
        for folder in (old, used):
            (folder / "ready").touch()
        for path, days in (
            (old / "ready", UNUSED_DAYS + 3),
            (used / "ready", UNUSED_DAYS - 1),
            (half, UNUSED_DAYS + 9),
        ):
            os.utime(path, (now - days * day, now - days * day))
        log = Log()
        prepare(wanted, uv="uv", run=fake_uv([]), log=log)
        assert (old.exists(), used.exists(), half.exists(), wanted.is_ready()) == (False, True, False, True)
        assert log.lines == [
            f"removed env-half: not used for {UNUSED_DAYS + 9} days",
            f"removed env-old: not used for {UNUSED_DAYS + 3} days",
        ]

    def test_the_one_that_dev_links_to_is_not_swept(self, wanted: Environment) -> None:
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        link = link_dev(wanted.folder)
        os.utime(wanted.marker, (1, 1))
        sweep(wanted.folder.parent, now_s=time.time(), log=Log())
        assert (link / "bin/python").is_file()
        other = wanted.folder.with_name("env-other")
        other.mkdir()
        assert link_dev(other).resolve() == other
        sweep(wanted.folder.parent, now_s=time.time(), log=Log())
        assert not wanted.folder.exists()

    def test_a_dev_that_is_a_folder_is_exit_4_and_stays(self, wanted: Environment) -> None:
        (wanted.folder.parent / "dev").mkdir(parents=True)
        with pytest.raises(InfrastructureError, match="cannot make the link"):
            link_dev(wanted.folder)

    def test_a_use_is_noted_and_a_folder_that_forbids_it_is_not_an_error(self, wanted: Environment) -> None:
        prepare(wanted, uv="uv", run=fake_uv([]), log=Log())
        os.utime(wanted.marker, (1, 1))
        wanted.note_use()
        assert wanted.marker.stat().st_mtime > 1
        replace(wanted, folder=wanted.folder / "not there").note_use()


class TestPython:
    @pytest.mark.processes
    def test_ours_is_the_base_of_the_environment_that_we_run_in(self) -> None:
        printed = subprocess.run(
            [running().executable, "-c", f"{PROBE}; print(sys.prefix == sys.base_prefix)"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        assert printed == [running().version, running().abi, "True"]

    def output(self, command: Sequence[str]) -> str:
        """A machine on which uv knows nothing and the Pythons are scripts that print."""
        self.asked = [*getattr(self, "asked", []), list(command)]
        path = Path(command[0])
        return path.read_text() if path.name == "python" else ""

    def write_python(self, root: Path, folder: str, version: str) -> Path:
        path = root / "versions" / folder / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(f"{version}\ncpython-312-x86_64-linux-gnu\n")
        return path

    def test_our_own_version_needs_no_search(self) -> None:
        minor = running().version.rpartition(".")[0]
        assert find_python(minor, uv="uv", environ={}, output=self.output) == running()

    def test_pyenvs_newest_is_found_though_no_shim_leads_to_it(self, tmp_path: Path) -> None:
        self.write_python(tmp_path, "3.98.9", "3.98.9")
        newest = self.write_python(tmp_path, "3.98.10", "3.98.10")
        self.write_python(tmp_path, "3.98.11-dev", "3.98.11")
        self.write_python(tmp_path, "3.9.8", "3.9.8")
        found = find_python("3.98", uv="uv", environ={"PYENV_ROOT": str(tmp_path)}, output=self.output)
        assert found == Interpreter(executable=newest, version="3.98.10", abi="cpython-312-x86_64-linux-gnu")

    def test_a_python_that_is_another_than_it_says_or_does_not_run_is_not_taken(self, tmp_path: Path) -> None:
        self.write_python(tmp_path, "3.98.9", "3.11.2")
        self.write_python(tmp_path, "3.98.10", "Segmentation fault")
        with pytest.raises(InfrastructureError, match=r"Python 3\.98 is not available") as caught:
            find_python("3.98", uv="uv", environ={"PYENV_ROOT": str(tmp_path)}, output=self.output)
        assert "uv python install 3.98" in caught.value.then
        assert ["uv", "python", "install", "--no-bin", "3.98"] in self.asked


class TestUv:
    @pytest.fixture
    def uv(self, tmp_path: Path) -> Path:
        path = tmp_path / "bin" / "uv"
        path.parent.mkdir()
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    def test_the_one_that_started_us_comes_first(self, uv: Path) -> None:
        assert find_uv({"UV": str(uv), "PATH": "/nowhere"}) == str(uv)

    def test_then_the_one_on_the_path(self, uv: Path) -> None:
        assert find_uv({"UV": "/gone/uv", "PATH": str(uv.parent)}) == str(uv)

    def test_then_the_one_beside_python(self, uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", str(uv.with_name("python")))
        assert find_uv({"PATH": "/nowhere"}) == str(uv)

    def test_else_it_is_exit_4_and_says_how_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        with pytest.raises(InfrastructureError) as caught:
            find_uv({"PATH": "/nowhere"})
        assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
        assert "pip install uv" in caught.value.then
