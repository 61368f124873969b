"""The house rules that imports can break: rooms in a row, one door per outside thing."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# the order in which rooms may import each other: only ones that stand before
ROOMS = [
    "errors", "system", "catalog", "nox", "plan", "record", "docker", "images", "install", "health", "facts", "execute",
    "report", "github", "repro", "cli", "__main__",
]  # fmt: skip
DOORS = {
    "subprocess": {"ci/system/process.py"},
    "docker": {"ci/docker/client.py"},
    "httpx": {"ci/images/registry.py", "ci/github/api.py"},
    "rich": {"ci/report/console.py"},
    "time": {"ci/system/clock.py"},
    "datetime.datetime.now": {"ci/system/clock.py"},
    "secrets": {"ci/system/clock.py"},
    "pydantic": {"ci/system/codec.py"},
    "random": set(),
    "os.environ": {"ci/system/environ.py"},
    "os.getenv": {"ci/system/environ.py"},
}
# programs of their own in another interpreter
AGENT = REPOSITORY / "ci/agent"
APART = {"ci/install/inspector.py", "ci/docker/container_init.py"}


def sources() -> list[Path]:
    return sorted(
        path
        for path in (REPOSITORY / "ci").rglob("*.py")
        if str(path.relative_to(REPOSITORY)) not in APART and AGENT not in path.parents
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


def room_of(module: str) -> int:
    """The place in `ROOMS` of a module; one that stands in no room is the first."""
    parts = module.split(".")
    return ROOMS.index(parts[1]) if len(parts) > 1 and parts[1] in ROOMS else -1


def test_no_room_imports_a_later_one() -> None:
    upward = set()
    for path in sources():
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for module in imports(path):
            ours = module.startswith("ci.") and (REPOSITORY / f"{module.replace('.', '/')}.py").is_file()
            if ours and room_of(module) > room_of(name):
                upward.add(f"{name} -> {module}")
    assert not upward


def test_the_agent_stands_alone() -> None:
    """It is carried to where nothing of `ci` is; its own modules it imports relative to each other."""
    for path in AGENT.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        imported |= {
            str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
        }
        foreign = {name.split(".")[0] for name in imported} - (sys.stdlib_module_names - {"tomllib"})
        assert foreign <= {"pytest"}, f"{path.name} imports {foreign}"
    assert not [path for path in sources() if any(name.startswith("ci.agent") for name in imports(path))]


def test_planning_touches_nothing_outside() -> None:
    outside = {"os", "pathlib", "subprocess", "socket", "time", "shutil", "tempfile", "urllib", "io"}
    for path in (REPOSITORY / "ci/plan").rglob("*.py"):
        used = {module.split(".")[0] for module in imports(path)} & outside
        assert not used, f"{path.name} imports {used}"


def test_the_harness_imports_nothing_from_ci() -> None:
    for folder in ("harness", "registered"):
        for path in (REPOSITORY / "test" / folder).rglob("*.py"):
            assert not [module for module in imports(path) if module.split(".")[0] == "ci"], path
