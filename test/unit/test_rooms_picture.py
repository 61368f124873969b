"""The picture of the rooms: what is in it, and when it is stale."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support import rooms, rooms_picture
from support.rooms import APART, ROOMS, Import, Module
from support.rooms_picture import PICTURE, Figures, count, draw, stale, write

FIGURES = Figures(
    lines={"cli": 500, "plan": 1000, "plan/container": 1200, "report": 300},
    imports={"cli plan": 40, "report plan": 6},
)


def words(picture: str) -> list[str]:
    root = ET.fromstring(picture)
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def module(name: str, *imports: str, lines: int = 10) -> Module:
    return Module(name=name, lines=lines, imports=tuple(Import(module=each, lazy=False) for each in imports))


def test_every_room_is_in_the_picture() -> None:
    shown = words(draw(FIGURES))
    assert set(shown) >= {room for room in ROOMS if "/" not in room and room != "__main__"} | {APART}


def test_a_room_shows_its_lines_with_those_of_its_sub_rooms() -> None:
    shown = words(draw(FIGURES))
    assert ("2.2k lines" in shown, "1.2k" in shown, "container" in shown) == (True, True, True)


def test_imports_are_counted_between_rooms_and_not_within_one() -> None:
    modules = {
        each.name: each
        for each in (
            module("plan/make", "plan/container/needs", "catalog/stages", "errors"),
            module("plan/container/needs", "errors", lines=7),
            module("catalog/stages", "catalog"),
        )
    }
    assert count(modules) == Figures(
        lines={"catalog": 10, "plan": 10, "plan/container": 7},
        imports={"plan catalog": 1, "plan errors": 2},
    )
    assert "2" in words(draw(count(modules)))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose `cli` imports `plan` ten times."""
    for name, text in {
        "plan/model.py": "VALUE = 1\n" * 1000,
        **{f"cli/command_{number}.py": "from ci.plan.model import VALUE\n" for number in range(10)},
    }.items():
        (tmp_path / "ci" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ci" / name).write_text(text)
    return tmp_path


def test_a_picture_that_was_just_drawn_is_not_stale(tree: Path) -> None:
    assert (write(tree), stale(tree), write(tree)) == (True, [], False)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"cli/new.py": "from ci.plan.model import VALUE\n"}, ""),
        ({"plan/new.py": "VALUE = 1\n" * 150}, ""),
        ({"plan/new.py": "VALUE = 1\n" * 250}, "plan: 1250 lines, the picture says 1000"),
        (
            {"plan/new.py": "from ci.cli import command_1\n"},
            "plan -> cli: 1 imports, the picture says none",
        ),
        ({"record/fold.py": "VALUE = 1\n"}, "record: 1 lines, the picture says none"),
        (
            {f"cli/new_{number}.py": "from ci.plan.model import VALUE\n" for number in range(4)},
            "cli -> plan: 14 imports, the picture says 10",
        ),
    ],
)
def test_it_is_stale_when_rooms_or_numbers_differ_by_much(
    tree: Path, files: Mapping[str, str], says: str
) -> None:
    write(tree)
    for name, text in files.items():
        (tree / "ci" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "ci" / name).write_text(text)
    assert stale(tree) == ([says] if says else [])


def test_it_is_stale_when_it_is_missing_or_was_edited(tree: Path) -> None:
    assert "cannot be read" in stale(tree)[0]
    write(tree)
    path = tree / PICTURE
    path.write_text(path.read_text().replace("#3d5a80", "#ff0000", 1))
    assert "was edited" in stale(tree)[0]
    path.write_text("<svg/>")
    assert "was edited" in stale(tree)[0]


def test_figures_survive_what_markup_escapes() -> None:
    odd = replace(FIGURES, imports={"cli plan": 1, "a<b&c d>e": 2})
    assert "&lt;b&amp;c" in draw(odd)


@pytest.mark.processes
def test_the_program_says_what_is_stale_and_the_command_that_draws_it(tree: Path) -> None:
    folder = tree / "test/support"
    folder.mkdir(parents=True)
    for module in (rooms, rooms_picture):
        shutil.copy(str(module.__file__), folder)
    command = [sys.executable, "-m", "support.rooms_picture"]
    codes = []
    for words in (["--check"], [], ["--check"]):
        ended = subprocess.run(
            [*command, *words], cwd=folder.parent, capture_output=True, text=True, check=False
        )
        codes.append(ended.returncode)
        if ended.returncode:
            assert "cannot be read" in ended.stderr
            assert "next:  nox -s docs" in ended.stderr
    assert codes == [9, 0, 0]
