"""The environments through the real `nox` and the real uv: made once, kept without a network, and every way to fail."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.nox.environments import UNUSED_DAYS
from support.nox_project import REPOSITORY, Project, kill_all, make_project, tool, uvx

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = make_project(tmp_path / "project", envdir=tmp_path / "envs")
    yield project
    kill_all(project.token)


def environments(project: Project) -> list[Path]:
    return sorted(path for path in project.envdir.glob("env-*") if path.is_dir())


def everything_in(folder: Path) -> dict[str, int]:
    """Each file's time of change, but for the marker, whose time is that of the last use."""
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if path.name not in {"ready", "__pycache__"}
    }


class TestOnce:
    def test_the_first_start_makes_it_and_the_second_needs_neither_uv_nor_a_network(
        self, project: Project
    ) -> None:
        first = project.nox("-s", "stage_a_amd")
        assert first.code == 0, first.stderr
        (folder,) = environments(project)
        assert f"environment {folder.name} (Python " in first.stderr
        assert "; run, rehearsal, model), once" in first.stderr
        assert f"environment {folder.name}: ready after " in first.stderr
        before = everything_in(folder)
        second = project.nox(
            "-s", "stage_a_amd", before=("unshare", "--net"), UV="/gone", UV_CACHE_DIR="/gone"
        )
        assert second.code == 0, second.stderr
        assert "making it" not in second.stderr
        assert everything_in(folder) == before

    def test_stages_suites_and_a_second_checkout_share_one(self, project: Project, tmp_path: Path) -> None:
        other = make_project(tmp_path / "a second checkout", envdir=project.envdir)
        assert project.nox("-s", "stage_a_amd", "stage_b_amd(1-gpu-small)", "stage_c_amd").code == 0
        assert other.nox("-s", "nightly_dsv4_amd").code == 0
        assert other.nox("-s", "plan", "--", "stage_a_amd").code == 0  # it names the engine's version
        assert len(environments(project)) == 1

    def test_other_pins_are_another_environment(self, project: Project) -> None:
        assert project.nox("-s", "stage_a_amd").code == 0
        pins = project.root / "requirements" / "model.txt"
        pins.write_text(pins.read_text() + "# a comment is a change too\n")
        assert project.nox("-s", "stage_a_amd").code == 0
        assert len(environments(project)) == 2

    def test_two_first_starts_at_once_both_succeed(self, project: Project, tmp_path: Path) -> None:
        slow_uv = tmp_path / "uv"  # so that the second surely starts before the first is ready
        slow_uv.write_text(f'#!/bin/sh\nsleep 1\nexec {tool("uv")} "$@"\n')
        slow_uv.chmod(0o755)
        command = project.command("-s", "stage_a_amd")
        started = [
            subprocess.Popen(
                command,
                cwd=project.root,
                env=project.environment(UV=str(slow_uv)),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for _ in range(2)
        ]
        outputs = [process.communicate(timeout=120)[0].decode() for process in started]
        assert [process.returncode for process in started] == [0, 0], outputs
        assert len(environments(project)) == 1
        assert sum("pip sync" in output for output in outputs) == 1
        assert sum("another session is making an environment" in output for output in outputs) == 1

    def test_one_that_is_incomplete_is_made_again(self, project: Project) -> None:
        assert project.nox("-s", "stage_a_amd").code == 0
        (folder,) = environments(project)
        (folder / "ready").unlink()
        (folder / "lib" / "rubbish").touch()
        assert project.nox("-s", "stage_a_amd").code == 0
        assert (folder / "ready").exists()
        assert not (folder / "lib" / "rubbish").exists()

    def test_one_that_was_not_used_for_weeks_is_swept_by_the_next_that_is_made(
        self, project: Project
    ) -> None:
        assert project.nox("-s", "stage_a_amd").code == 0
        (old,) = environments(project)
        long_ago = time.time() - (UNUSED_DAYS + 1) * 86400
        os.utime(old / "ready", (long_ago, long_ago))
        ended = project.nox("-s", "plan")
        assert ended.code == 0
        assert f"removed {old.name}: not used for {UNUSED_DAYS + 1} days" in ended.stderr
        assert not old.exists()

    def test_install_only_makes_it_and_runs_nothing(self, project: Project) -> None:
        ended = project.nox("--install-only", "-s", "stage_a_amd")
        assert (ended.code, ended.calls, len(environments(project))) == (0, (), 1)


class TestWhere:
    def test_a_path_with_spaces_umlauts_and_a_quote(self, tmp_path: Path) -> None:
        odd = make_project(tmp_path / "Grüße an 世界's CI", envdir=tmp_path / "env s'ü")
        ended = odd.nox("-s", "stage_a_amd", LC_ALL="C")
        assert ended.code == 0, ended.stderr
        assert len(ended.calls) == 1

    def test_a_read_only_checkout_is_4_and_says_how_it_works_and_then_it_does(self, project: Project) -> None:
        script = 'mount --bind -o ro "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
        read_only = ("unshare", "--mount", "sh", "-c", script, str(project.root))
        refused = subprocess.run(
            [*read_only, tool("nox"), "-s", "stage_a_amd"],
            cwd=project.root,
            env=project.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 4, refused.stderr
        assert "cannot create the folder of the environments: Read-only file system" in refused.stderr
        assert "nox --envdir FOLDER -s stage_a_amd" in refused.stderr
        assert "Traceback" not in refused.stderr
        accepted = project.nox("-s", "stage_a_amd", before=read_only)
        assert accepted.code == 0, accepted.stderr
        assert len(accepted.calls) == len(environments(project)) == 1


class TestFailures:
    def test_no_network_and_an_empty_cache_is_4(self, project: Project, tmp_path: Path) -> None:
        ended = project.nox(
            "-s",
            "stage_a_amd",
            before=("unshare", "--net"),
            UV_CACHE_DIR=str(tmp_path / "empty"),
            UV_HTTP_RETRIES="0",
        )
        assert ended.code == 4, ended.stderr
        assert "uv ended with" in ended.stderr
        assert "no network" in ended.stderr
        assert ended.calls == ()
        assert not any((folder / "ready").exists() for folder in environments(project))

    def test_a_cache_that_cannot_be_written_is_4_and_named(self, project: Project) -> None:
        ended = project.nox("-s", "stage_a_amd", UV_CACHE_DIR="/proc/nowhere")
        assert ended.code == 4
        assert "UV_CACHE_DIR" in ended.stderr

    def test_a_pin_whose_hash_is_another_is_4(self, project: Project) -> None:
        pins = project.root / "requirements" / "run.txt"
        lines = pins.read_text().splitlines()
        pins.write_text(f"{lines[0]}\n    --hash=sha256:{'0' * 64}\n")
        assert project.nox("-s", "plan").code == 4

    def test_without_uv_it_is_4_and_says_how_to_get_it(self, project: Project, tmp_path: Path) -> None:
        bare = tmp_path / "bare"
        subprocess.run([tool("uv"), "venv", "-q", "--python", sys.executable, str(bare)], check=True)
        subprocess.run(
            [tool("uv"), "pip", "install", "-q", "--python", str(bare / "bin" / "python"), "nox"], check=True
        )
        ended = project.nox("-s", "plan", nox=(str(bare / "bin" / "nox"),), PATH="/usr/bin:/bin", UV=None)
        assert ended.code == 4, ended.stderr
        assert "uv is not installed" in ended.stderr
        assert "pip install uv" in ended.stderr


class TestPythons:
    @staticmethod
    def first(version: str) -> str:
        """A PATH that begins with a Python of that version."""
        found = sorted(PYENV.glob(f"{version}.*/bin"))
        if not found:
            pytest.skip(f"this machine has no Python {version} of pyenv's")
        return f"{found[-1]}:/usr/bin:/bin"

    @pytest.mark.parametrize("version", ["3.8", "3.9"])
    def test_a_python_that_is_too_old_for_nox_itself_is_4_with_a_message(
        self, project: Project, version: str
    ) -> None:
        ended = project.nox("-s", "stage_a_amd", nox=(tool("uvx"), "nox"), PATH=self.first(version))
        assert ended.code == 4, ended.stderr
        assert f"needs Python 3.11 or newer, and Nox was started on {version}." in ended.stderr
        assert "next:  uvx --python 3.11 nox" in ended.stderr

    def test_with_3_10_first_nox_starts_itself_again_under_a_newer_one(self, project: Project) -> None:
        newer = Path(sys.executable).resolve().parent
        path = self.first("3.10").replace("/usr/bin", f"{newer}:/usr/bin", 1)
        project.codes = {"stage-a-amd": 8}
        ended = project.nox("-s", "stage_a_amd", nox=uvx(), PATH=path)
        assert ended.code == 8, ended.stderr
        assert [call["path"] for call in ended.calls] == [path]

    def test_a_3_10_that_may_not_restart_is_4_with_a_message(self, project: Project) -> None:
        ended = project.nox("-l", nox=uvx(), PATH=self.first("3.10"), NOX_SCRIPT_MODE="none")
        assert ended.code == 4
        assert "was started on 3.10." in ended.stderr

    def test_a_python_that_cannot_be_had_is_named_and_the_others_are_tested(self, project: Project) -> None:
        ours = (REPOSITORY / "requirements" / "test.txt").read_text()
        coverage = re.search(r"^coverage==(?:.+\n)+?(?=\S|    # )", ours, re.MULTILINE)
        assert coverage, "our pins have no coverage"
        (project.root / "requirements" / "test.txt").write_text(coverage.group())
        pins = (REPOSITORY / "requirements" / "run.txt").read_text()
        (project.root / "requirements" / "run.txt").write_text(pins)
        folder = project.root / "test" / "unit"
        folder.mkdir(parents=True)
        (folder / "test_it.py").write_text(
            "import pytest\n@pytest.mark.in_container\ndef test_it():\n    import ci.nox\n"
        )
        (project.root / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\nmarkers = ["in_container"]\npythonpath = ["."]\n'
            "[tool.coverage.run]\nbranch = true\nparallel = true\n"
        )
        nowhere = str(project.root / "nowhere")
        ended = project.nox(
            "-s", "tests_all", "--", "test/unit", PATH=nowhere, PYENV_ROOT=nowhere, UV_PYTHON_DOWNLOADS="never", HOME=nowhere,
            UV_CACHE_DIR=str(Path.home() / ".cache" / "uv"), UV_PYTHON_INSTALL_DIR=nowhere,
        )  # fmt: skip
        ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert ended.code == 4, ended.stderr
        assert ended.stdout.count("1 passed") == 1
        said = ended.stderr.splitlines()
        for version in ("3.10", "3.11", "3.12", "3.13"):
            (summary,) = (line for line in said if f"* tests_all({version}): " in line)
            assert ("success" in summary) == (version == ours)
            missing = f"Session tests_all({version}) aborted: Python {version} is not available"
            assert any(missing in line for line in said) == (version != ours)
