"""Files and command lines as environments."""

from pathlib import Path

import pytest

from ci.errors import UsageError
from ci.facts.scripts.read import is_script, read_script


def values(name: Path | str, notes: list[str] | None = None) -> dict[str, str]:
    return read_script(str(name), [] if notes is None else notes).values


def write(tmp_path: Path, text: str, name: str = "run.sh") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_script_names_file_and_line_of_each_variable(tmp_path: Path) -> None:
    path = write(tmp_path, "#!/bin/sh\nexport A=1\nexport B=${B:-2}\n")
    found = read_script(str(path), []).settings
    assert (found["A"].value, found["A"].source) == ("1", "run.sh:2")
    assert (found["B"].value, found["B"].why) == ("2", "unless the caller sets B")


@pytest.mark.parametrize("name", ["run.env", ".env", "settings.txt"])
def test_lines_of_key_and_value(tmp_path: Path, name: str) -> None:
    text = "# comment\nA=1\nexport B='x y'\nC=a b # why\n\nD=\nTOKEN\n"
    notes: list[str] = []
    assert values(write(tmp_path, text, name), notes) == {"A": "1", "B": "x y", "C": "a b", "D": ""}
    assert notes == [f"{name}: line 7: TOKEN is the caller's"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1 python3 -m server\n", {"A": "1"}),
        ("A=1\nexport B=$A\n", {"B": "1"}),
        ("A=1; export A\n", {"A": "1"}),
    ],
)
def test_what_a_shell_would_execute_is_no_list_of_pairs(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    assert values(write(tmp_path, text)) == expected


def test_a_command_line_is_read_as_it_is() -> None:
    assert values("docker run -e A=1 image") == {"A": "1"}
    assert values("-e A=1 -e B=2") == {"A": "1", "B": "2"}


def test_names_that_are_no_script(tmp_path: Path) -> None:
    assert is_script(str(write(tmp_path, "A=1")))
    assert is_script("docker run -e A=1 image")
    test = write(tmp_path, "", "test_a.py")
    assert not any(map(is_script, [str(test), "base.BASE", "docker", str(tmp_path)]))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"echo hello\n", "sets no variable"),
        (b"\0\1", "is no script"),
        (b"#" * (1 << 20) + b"#", "is no script"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "run.sh"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=what):
        read_script(str(path), [])
