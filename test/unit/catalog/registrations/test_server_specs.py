"""The server arguments that test files give, read from their source."""

from pathlib import Path

import pytest

from ci.catalog.registrations.server_specs import ANY, Argument, read_server_arguments


def read(
    tmp_path: Path, source: str, file: str = "test/registered/a/test_x.py"
) -> list[tuple[Argument, ...]]:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    found = read_server_arguments(tmp_path)
    assert all(each.place.startswith(f"{file}:") for each in found)
    return [each.args for each in found]


@pytest.mark.parametrize(
    ("source", "args"),
    [
        ('ServerSpec(model=M, args=("--tp", "2"))', [("--tp", "2")]),
        ('ARGS = ("--fast", *("--tp", "8"))\nServerSpec(args=ARGS)', [("--fast", "--tp", "8")]),
        (
            'A = "x"\nARGS = ("--lora", A)\nServerSpec(args=(*ARGS, "--mode", mode))',
            [("--lora", "x", "--mode", ANY)],
        ),
        ('BY = {"a": ("--a",), "b": ("--b",)}\nServerSpec(args=BY[name])', [("--a",), ("--b",)]),
        (
            'def test():\n    args = ("--fast",)\n    with launch(ServerSpec(args=(*args, "--tp", str(2)))):\n        pass',
            [("--fast", "--tp", ANY)],
        ),
        ('ServerSpec(args=("--a",) if big else ("--b",))', [("--a",), ("--b",)]),
        ('ServerSpec(args=A + ["--b"])\nA = ["--a"]', [("--a", "--b")]),
        ("ServerSpec(args=made())", []),
        ('ServerSpec(args=(*made(), "--a"))', [("--a",)]),
        ("ServerSpec(model=M)", []),
        ("ServerSpec(args=())", []),
    ],
)
def test_tuples_are_followed(tmp_path: Path, source: str, args: list[tuple[Argument, ...]]) -> None:
    assert read(tmp_path, source) == args


def test_the_harness_s_own_arguments_follow_the_launcher(tmp_path: Path) -> None:
    source = 'Command(argv=(sys.executable, "-m", "sglang.launch_server", *("--port", str(p)), *(("--e",) if e else ())))'
    found = read(tmp_path, source, "test/harness/engines/sglang.py")
    assert found == [("--port", ANY, "--e"), ("--port", ANY)]


def test_another_program_s_arguments_are_not_sglang_s(tmp_path: Path) -> None:
    source = 'x = "sglang.launch_server"\nCommand(argv=("llama-server", "--port", "1"))'
    assert read(tmp_path, source, "test/harness/engines/other.py") == []
