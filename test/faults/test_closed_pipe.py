"""Output that nobody reads to its end, `... | head`: the run goes on, its reports are whole, its exit code is its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import REPOSITORY, child_env, copy_repository, only_tests, registered, run_folder

REPORTS = {"plan.json", "events.jsonl", "junit.xml", "summary.md", "report.html", "terminal.svg"}
NOX = (sys.executable, "-m", "nox", "--envdir", str(REPOSITORY / ".nox"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository whose stage a fails one of two tests, and prints more than a pipe holds."""
    repository = copy_repository(tmp_path_factory.mktemp("pipe") / "repository")
    red = registered("def test_red() -> None:\n    assert sys.platform == 'x' * 200_000\n", est_time=3)
    green = registered("def test_green() -> None:\n    print('x\\n' * 200_000)\n", est_time=9)
    only_tests(repository, {"a/test_green.py": green, "a/test_red.py": red})
    return repository


def piped(copy: Path, runs: Path, command: tuple[str, ...], reader: str) -> int:
    """The exit code of `COMMAND 2>&1 | READER`."""
    script = f'"$@" 2>&1 | {reader} >/dev/null; exit "${{PIPESTATUS[0]}}"'
    argv = ["bash", "-c", script, "bash", *command]
    # the caller's own beside it: Nox may have to make the environment
    env = {**os.environ, **child_env(runs), "HOME": os.environ["HOME"]}
    return subprocess.run(
        argv, cwd=copy, env=env, stdin=subprocess.DEVNULL, check=False, timeout=180
    ).returncode


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-m", "ci", "run", "stage-a-amd"),
        (sys.executable, "-m", "ci", "run", "stage-a-amd", "--json"),
        (*NOX, "-s", "stage_a_amd"),
    ],
    ids=["ci", "ci --json", "nox"],
)
def test_a_run_is_whole_when_its_reader_leaves(
    copy: Path, tmp_path: Path, command: tuple[str, ...], reader: str
) -> None:
    assert piped(copy, tmp_path / "runs", command, reader) == 1
    folder = run_folder(tmp_path / "runs")
    assert {entry.name for entry in folder.iterdir()} >= REPORTS
    assert '"exit_code":1' in (folder / "events.jsonl").read_text().splitlines()[-1]


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ((sys.executable, "-m", "ci", "run", "stage-a-amd", "--list"), 0),
        ((sys.executable, "-m", "ci", "run", "stage-a-amd", "--siute", "x"), 2),
        ((*NOX, "-s", "stage_a_amd", "--", "--list"), 0),
        ((*NOX, "-s", "stage_a_amd", "--", "--siute", "x"), 2),
        ((*NOX, "-l"), 0),
    ],
    ids=["ci --list", "ci, usage", "nox --list", "nox, usage", "nox -l"],
)
def test_the_exit_code_is_that_of_the_command(
    copy: Path, tmp_path: Path, command: tuple[str, ...], code: int, reader: str
) -> None:
    assert piped(copy, tmp_path / "runs", command, reader) == code
