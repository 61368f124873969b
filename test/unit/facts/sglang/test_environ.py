"""The variables that environ.py declares."""

from pathlib import Path

import pytest

from ci.errors import FindingsError
from ci.facts.sglang.environ import read_declared

DATA = Path(__file__).parents[3] / "data/sglang_versions/calls"


@pytest.mark.processes
def test_it_is_executed_alone_and_parses_our_values_itself() -> None:
    found, source = read_declared(DATA, {"SGLANG_FAST": ["1", "on"], "SGLANG_TOKENS": ["x"], "OTHER": ["1"]})
    assert source.endswith("executed alone")
    fast = found["SGLANG_FAST"]
    assert (fast.type, fast.default) == ("EnvBool", "False")
    assert fast.parsed == {"1": "True", "on": "False"}
    assert "on is neither true nor false" in fast.invalid["on"]
    assert "1" not in fast.invalid
    assert found["SGLANG_TOKENS"].parsed == {"x": "64"}
    file, _, line = fast.place.partition(":")
    assert "SGLANG_FAST" in (DATA / file).read_text().splitlines()[int(line) - 1]
    assert "OTHER" not in found


@pytest.mark.processes
def test_one_that_does_not_run_alone_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sglang/srt/environ.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import a_fork_s_package\n\nclass Envs:\n    SGLANG_FAST = EnvBool(False)\n    OTHER = 1\n"
    )
    found, source = read_declared(tmp_path, {"SGLANG_FAST": ["1"]})
    assert "read by AST" in source
    assert "No module named 'a_fork_s_package'" in source
    assert list(found) == ["SGLANG_FAST"]
    assert (found["SGLANG_FAST"].type, found["SGLANG_FAST"].default) == ("EnvBool", "False")


def test_one_that_is_not_python_is_a_finding_about_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "sglang/srt/environ.py"
    path.parent.mkdir(parents=True)
    path.write_text("class Envs(:\n")
    with pytest.raises(FindingsError) as caught:
        read_declared(tmp_path, {})
    assert f"{path}:1" in caught.value.what


def test_a_tree_without_one_declares_nothing(tmp_path: Path) -> None:
    assert read_declared(tmp_path, {"SGLANG_FAST": ["1"]})[0] == {}
