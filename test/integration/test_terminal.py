"""A run on a terminal: how it begins and ends in each width, a window that is resized, Ctrl-C, and the forms of a log."""

import sys
from pathlib import Path

import pytest

from support.files import child_env, ci, copy_repository, only_tests, registered, run_folder
from support.nox_project import tool
from support.pseudo_terminal import OnTerminal

FAILING = "def test_ratio() -> None:\n    assert 1 / 4 > 0.5, 'the ratio is 0.25'\n"
TESTS = {
    "amd/test_quick.py": registered("def test_it() -> None:\n    pass\n"),
    "amd/test_ratio.py": registered(FAILING, est_time=4),
    "amd/test_stays.py": registered(
        "def test_it() -> None:\n    import time\n    time.sleep(60)\n",
        est_time=3,
        suite="stage-b-test-1-gpu-small-amd",
    ),
}
CI = (sys.executable, "-m", "ci", "run")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = copy_repository(tmp_path_factory.mktemp("copy") / "repository")
    only_tests(repository, TESTS)
    return repository


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_red_run_begins_with_what_and_why_and_ends_with_what_failed(
    copy: Path, runs: Path, columns: int
) -> None:
    terminal = OnTerminal((*CI, "stage-a-amd"), cwd=copy, env=child_env(runs), columns=columns)
    assert terminal.end() == 1
    start = " ".join(terminal.text.partition("PASS")[0].split())
    assert "REHEARSAL of stage-a-amd: 2 tests" in start
    assert "never a pass of the stage" in start
    assert "hardware_class" not in terminal.text, "the plan's table is for -v and --dry-run"
    assert "amd-ci-capsule" not in terminal.text
    *_, result, report, command = terminal.lines_at_end
    end = " ".join(" ".join(terminal.lines_at_end).split())
    for words in ("FAILED ", "test_ratio.py:10", "product", "the ratio is 0.25", "1 passed, 1 failed in "):
        assert words in end
    assert result.endswith("(exit code 1)")
    assert report == f"report: {run_folder(runs)}/report.html"
    assert command.startswith("repeat it: nox -s stage_a_amd -- ")
    fixed = [line for line in terminal.lines_at_end if line not in (report, command)]
    assert max(map(len, fixed)) <= columns
    assert len(terminal.lines_at_end) <= 10


def test_the_line_that_repeats_it_does(copy: Path, runs: Path) -> None:
    terminal = OnTerminal((*CI, "stage-a-amd"), cwd=copy, env=child_env(runs), columns=60)
    assert terminal.end() == 1
    words = terminal.lines_at_end[-1].removeprefix("repeat it: nox -s stage_a_amd -- ").split()
    assert words[0] == "--last-failed"
    again = ci("run", "stage-a-amd", *words, "--list", runs=runs, cwd=copy)
    assert again.out.splitlines() == ["test/registered/amd/test_ratio.py\t4\t1-gpu-small"], again.text


def test_through_nox_one_line_of_noxs_own_follows(copy: Path, runs: Path) -> None:
    envdir = Path(__file__).parents[2] / ".nox"
    command = (tool("nox"), "--envdir", str(envdir), "-s", "stage_a_amd", "--", "--test", "test_ratio.py")
    terminal = OnTerminal(command, cwd=copy, env=child_env(runs), columns=100)
    assert terminal.end(within_s=300) == 1, terminal.text
    *_, command_line, noxs = terminal.lines_at_end
    assert command_line.startswith("repeat it: ")
    assert noxs.startswith("nox > Session stage_a_amd aborted: exit 1: failed")
    assert terminal.text[terminal.text.index("report: ") :].count("nox > ") == 1


def test_ctrl_c_is_acknowledged_at_once(copy: Path, runs: Path) -> None:
    terminal = OnTerminal((*CI, "stage-b-amd"), cwd=copy, env=child_env(runs), columns=80)
    terminal.wait_for("0:01")
    terminal.press(b"\x03")
    assert terminal.wait_for("stopping, up to 7 s; press Ctrl-C again to kill the tests at once") < 1
    assert terminal.end(within_s=20) == 130
    shown = "\n".join(terminal.lines_at_end)
    assert "1 cancelled" in shown
    assert "interrupted (exit code 130)" in " ".join(shown.split())


def test_a_window_that_gets_narrower_is_followed(copy: Path, runs: Path) -> None:
    terminal = OnTerminal((*CI, "stage-b-amd"), cwd=copy, env=child_env(runs), columns=160)
    terminal.wait_for("0:01")
    terminal.resize(50)
    terminal.wait_for("0:02")
    terminal.press(b"\x03")
    assert terminal.end(within_s=20) == 130
    # a path and a command are whole in any width
    lines = [line for line in terminal.lines_at_end if not line.startswith(("report: ", "repeat it: "))]
    assert max(map(len, lines)) <= 50


@pytest.mark.parametrize(
    "environ", [{"TERM": "dumb"}, {"LC_ALL": "C"}, {"NO_COLOR": "1"}], ids=lambda environ: next(iter(environ))
)
def test_a_terminal_that_can_less_gets_less(copy: Path, runs: Path, environ: dict[str, str]) -> None:
    env = {**child_env(runs), **environ}
    terminal = OnTerminal((*CI, "stage-a-amd"), cwd=copy, env=env, columns=100)
    assert terminal.end() == 1
    raw = terminal._raw.decode(errors="replace")
    if "TERM" in environ:
        assert "\x1b" not in raw
        assert "amd-ci-capsule" not in raw
    if "LC_ALL" in environ:
        assert raw.isascii()
    if "NO_COLOR" in environ:
        assert "\x1b[31m" not in raw
        assert "\x1b[32m" not in raw


def test_without_a_terminal_it_is_a_log(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-a-amd", runs=runs, cwd=copy, env={"LC_ALL": "C"})
    lines = ended.out.splitlines()
    assert "\x1b" not in ended.out
    assert sum("amd-ci-capsule" in line for line in lines) == 2
    failed = next(line for line in lines if line.startswith("FAILED "))
    place = (
        "FAILED test/registered/amd/test_ratio.py:10 test_ratio  product  AssertionError: the ratio is 0.25"
    )
    assert failed == place
    assert lines[-2:] == [
        f"report: {run_folder(runs)}/report.html",
        "repeat it: nox -s stage_a_amd -- --suite 1-gpu-small --test test/registered/amd/test_ratio.py",
    ]
