"""The rows of dependencies.toml and guards.toml: the repository's own are sound, every bad one is reported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.catalog.dependencies import ALWAYS, load_dependencies
from ci.catalog.guards import load_guards
from ci.catalog.stages import CATALOG_DIR
from ci.errors import Problem
from support.planning import catalog

Edit = Callable[[str, str, str], list[str]]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """Problems of the two files in which the first occurrence of a text was replaced."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    for name in ("dependencies.toml", "guards.toml"):
        shutil.copy(CATALOG_DIR / name, folder)

    def change(file: str, old: str, new: str) -> list[str]:
        path = folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))
        problems: list[Problem] = []
        rows = load_dependencies(problems, folder, families=("mi30x", "mi35x"))
        load_guards(problems, folder, flavours=rows.flavours)
        return [str(problem) for problem in problems]

    return change


def test_our_own_rows_are_sound() -> None:
    rows = catalog().dependencies
    steps = {step.id: step for step in rows.steps}
    assert rows.steps[-1].id == "httpx"
    assert rows.steps[-1].again_after == (ALWAYS,)
    assert steps["aiter"].env["AITER_USE_SYSTEM_TRITON"] == "1"
    # the two that every flavour protects, whatever a step announces
    protected = {row.distribution for row in catalog().guards.protected}
    assert {"torch", "triton"} <= protected
    announced = {name for step in rows.steps for name in step.announces}
    assert announced <= protected
    assert not announced & {"torch", "triton", "torchvision"}
    assert set(catalog().images.flavours) <= set(rows.flavours)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("dependencies.toml", '"{python}", "setup_rocm.py"', '"{pyhton}", "setup_rocm.py"', "has {pyhton}, which is not known"),
        ("dependencies.toml", 'id = "httpx"', 'id = "sglang"', "'sglang' stands there twice"),
        ("dependencies.toml", 'again_after = ["remove-old"]', 'again_after = ["httpx"]', "names 'httpx'"),
        ("dependencies.toml", 'needs_pin = "sgl_eval"', 'needs_pin = "sgleval"', "'sgleval', which is not known"),
        ("dependencies.toml", 'flavours = ["rocm724"]', 'flavours = ["rocm742"]', "names 'rocm742'"),
        ("dependencies.toml", 'commands = [["ldconfig"]]', 'commands = "ldconfig"', "not a list of argv lists"),
        ("dependencies.toml", 'commands = [["ldconfig"]]', "commands = [[]]", "not a list of argv lists"),
        ("dependencies.toml", 'commands = [["ldconfig"]]', 'commands = [["sh", "{install}"]]', "not the first word"),
        ("dependencies.toml", "optional = true", "optional = true\nproduct = true", "stands beside product"),
        ("dependencies.toml", "timeout_s = 30", "timeout_s = 0", "must be above 0"),
        ("dependencies.toml", 'family = "mi35x"', 'family = "mi36x"', "no row for family 'mi35x'"),
        ("dependencies.toml", 'program = "uv"', 'progam = "uv"', "unknown key"),
        ("dependencies.toml", '"-m", "pip", "install"]', '"-m", "{pip}", "install"]', "has {pip}"),
        ("dependencies.toml", 'env = { MORI_GPU_ARCHS = "{gfx}" }', "env = { MORI_GPU_ARCHS = 1 }", "no strings: MORI_GPU_ARCHS"),
        ("guards.toml", 'distribution = "torch"', 'distribution = "Torch"', "which does not fit"),
        ("guards.toml", 'required_in = ["rocm700"', 'required_in = ["rocm7"', "names 'rocm7'"),
        ("guards.toml", 'cwd = "/sgl-workspace"', 'cwd = "sgl-workspace"', "which does not fit"),
        ("guards.toml", 'name = "torch.version"', 'name = "torch version"', "which does not fit"),
    ],
)  # fmt: skip
def test_a_bad_row_is_reported(*, edit: Edit, file: str, old: str, new: str, says: str) -> None:
    problems = edit(file, old, new)
    assert any(says in problem and file in problem for problem in problems), problems


def test_a_list_of_installers_ends_with_one_that_is_always_there(edit: Edit) -> None:
    problems = edit(
        "dependencies.toml", '[[installer]]\nid = "pip"', '[[installer]]\nid = "pip"\nprogram = "pip"'
    )
    assert any("the last row needs a program" in problem for problem in problems)
