"""Reading the imports of a tree of `ci/`."""

from pathlib import Path

import pytest

from support.rooms import Import, read_modules, room_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "__init__.py": "",
        "system/__init__.py": "",
        "system/clock.py": "import time\n",
        "plan/__init__.py": "",
        "plan/model.py": "from ci.system import clock\nfrom ci.system.clock import now as late\n",
        "plan/make.py": "import ci.plan.model as m\ndef f():\n    def g():\n        from ci import system\n",
        "plan/near.py": "from . import make\nfrom .model import x\nfrom ..system import clock\n",
        "plan/other.py": "from city import hall\nfrom ci.plan import *  # all\nimporter = 1\n",
        "plan/many.py": "from ci.plan import (  # both\n    make as m,\n    model,  # why\n)\nimport os, ci.system.clock\n",
    }.items():
        path = tmp_path / "ci" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("system/clock", []),
        ("plan/model", [("system/clock", False)]),
        ("plan/make", [("plan/model", False), ("system", True)]),
        ("plan/near", [("plan/make", False), ("plan/model", False), ("system/clock", False)]),
        ("plan/other", [("plan", False)]),
        ("plan/many", [("plan/make", False), ("plan/model", False), ("system/clock", False)]),
    ],
)
def test_the_modules_that_a_module_imports(tree: Path, module: str, imported: list[tuple[str, bool]]) -> None:
    assert read_modules(tree)[module].imports == tuple(
        Import(module=name, lazy=lazy) for name, lazy in imported
    )


def test_lines_are_counted(tree: Path) -> None:
    assert {name: module.lines for name, module in read_modules(tree).items() if module.lines} == {
        "system/clock": 1,
        "plan/model": 2,
        "plan/make": 4,
        "plan/near": 3,
        "plan/other": 3,
        "plan/many": 5,
    }


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("plan", "plan"),
        ("plan/make", "plan"),
        ("plan/model", "plan"),
        ("plan/jobs", "plan/jobs"),
        ("plan/container/image", "plan/container"),
        ("agent/__main__", "agent"),
        ("planner", ""),
        ("", ""),
    ],
)
def test_the_room_of_a_module(name: str, room: str) -> None:
    assert room_of(name) == room
