"""`./inv` without an environment: making one, becoming the program in it, and failures."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ci.nox import launch as module
from ci.nox.launch import launch
from ci.system import process

REPOSITORY = Path(__file__).parents[3]
GROUPS = ("run", "tasks")


class BecameError(Exception):
    """This process was replaced."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.argv, self.environ = list(argv), environ


class Machine:
    """A checkout, and an uv that makes environments without any network, or fails."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.code = 0
        self.commands: list[list[str]] = []
        self.outputs: list[object] = []
        (root / "requirements").mkdir(parents=True)
        for group in GROUPS:
            (root / f"requirements/{group}.txt").write_text(f"{group}==1\n")
        monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
        monkeypatch.setattr(module, "find_uv", lambda _environ: "uv")
        monkeypatch.setattr(process, "attached", self.uv)
        monkeypatch.setattr(process, "become", self.become)

    def uv(self, argv: Sequence[str], **keywords: object) -> int:
        self.commands.append(list(argv))
        self.outputs.append(keywords["for_people"])
        if argv[1] == "venv" and not self.code:
            python = Path(argv[-1]) / "bin/python"
            python.parent.mkdir(parents=True)
            python.write_text("")
            python.chmod(0o755)
        return self.code

    @staticmethod
    def become(argv: Sequence[str], environ: Mapping[str, str]) -> None:
        raise BecameError(argv, environ)

    def launch(self) -> BecameError:
        with pytest.raises(BecameError) as caught:
            launch(self.root, GROUPS, ["tasks.py", "doctor"])
        return caught.value


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "root", monkeypatch)


def test_an_old_python_can_read_the_program() -> None:
    """It must get as far as asking uv for a newer one."""
    ast.parse((REPOSITORY / "inv").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_the_environment_is_made_once(machine: Machine) -> None:
    first, second = machine.launch(), machine.launch()
    assert first.argv == second.argv
    assert first.argv[1:] == ["tasks.py", "doctor"]
    assert Path(first.argv[0]).is_relative_to(machine.root / ".nox")
    assert [command[1] for command in machine.commands] == ["venv", "pip"]
    assert "--require-hashes" in machine.commands[1]
    assert machine.outputs == [True, True], "standard output belongs to the program that follows"


def test_variables_of_another_environment_are_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "UV_PYTHON", "KEPT"):
        monkeypatch.setenv(name, "x")
    environ = machine.launch().environ
    assert environ["KEPT"] == "x"
    assert not environ.keys() & {"PYTHONPATH", "VIRTUAL_ENV", "UV_PYTHON"}


def test_a_read_only_checkout_has_its_environment_in_the_users_cache(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != machine.root)
    python = Path(machine.launch().argv[0])
    assert python.is_relative_to(machine.root.parent / "cache/sglang-amd-ci/environments")


def test_a_failed_uv_is_exit_4_with_the_next_command(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.code = 2
    with pytest.raises(SystemExit) as caught:
        launch(machine.root, GROUPS, ["tasks.py"])
    shown = capsys.readouterr().err
    assert caught.value.code == 4
    assert "error (exit 4): uv ended with 2" in shown
    assert "run ./inv again" in shown


def test_ctrl_c_while_it_is_made_is_exit_130(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_argv: Sequence[str], **_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "attached", interrupted)
    with pytest.raises(SystemExit) as caught:
        launch(machine.root, GROUPS, ["tasks.py"])
    assert caught.value.code == 130
