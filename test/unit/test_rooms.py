"""The house rules that imports can break: rooms in a row, one door per outside thing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
ROOMS = ["catalog", "plan", "run", "report", "actions", "cli"]
DOORS = {
    "subprocess": {"ci/process.py"},
    "docker": {"ci/run/engine.py"},
    "httpx": {"ci/run/registry.py", "ci/actions/api.py"},
    "rich": {"ci/report/console.py"},
    "time": {"ci/clock.py"},
    "datetime.datetime.now": {"ci/clock.py"},
    "secrets": {"ci/clock.py"},
    "random": set(),
    "os.environ": {"ci/environ.py"},
    "os.getenv": {"ci/environ.py"},
}
# programs of their own in another interpreter
APART = {"ci/run/agent.py", "ci/run/inspector.py", "ci/run/keeper.py"}


def sources() -> list[Path]:
    return sorted(
        path for path in (REPOSITORY / "ci").rglob("*.py") if str(path.relative_to(REPOSITORY)) not in APART
    )


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, and `module.name` for names taken from one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text in DOORS:
                yield text


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_opens_a_door_of_another(path: Path) -> None:
    name = str(path.relative_to(REPOSITORY))
    opened = {
        door
        for module in imports(path)
        for door, keepers in DOORS.items()
        if (module == door or module.startswith(door + ".")) and name not in keepers
    }
    assert not opened, f"{name} opens {opened}: go through the door's module"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_room_imports_a_later_one(path: Path) -> None:
    parts = path.relative_to(REPOSITORY).parts
    room = ROOMS.index(parts[1]) if parts[1] in ROOMS else -1 if parts[1] != "__main__.py" else len(ROOMS)
    later = {
        module
        for module in imports(path)
        if module.startswith("ci.")
        and module.split(".")[1] in ROOMS
        and ROOMS.index(module.split(".")[1]) > room
    }
    # shared modules (errors, process, envdir ...) stand before the first room, but the noxfile's helpers read the catalog
    allowed = {module for module in later if room == -1 and module.startswith("ci.catalog")}
    assert not later - allowed, f"{'/'.join(parts)} imports {later - allowed}"


def test_planning_touches_nothing_outside() -> None:
    outside = {"os", "pathlib", "subprocess", "socket", "time", "shutil", "tempfile", "urllib", "io"}
    for path in (REPOSITORY / "ci/plan").glob("*.py"):
        used = {module.split(".")[0] for module in imports(path)} & outside
        assert not used, f"{path.name} imports {used}"


def test_the_harness_imports_nothing_from_ci() -> None:
    for folder in ("harness", "registered"):
        for path in (REPOSITORY / "test" / folder).rglob("*.py"):
            assert not [module for module in imports(path) if module.split(".")[0] == "ci"], path
