"""The house rules that imports can break: rooms in order, no circles, one door per outside thing."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.rooms import APART, ROOMS, Module, read_modules, room_of

REPOSITORY = Path(__file__).parents[2]
MODULES = read_modules(REPOSITORY)

# Where a function may import a module of ours, to start fast and with the packages that one command needs: dispatch.
# The same holds for noxfile.py and tasks.py, which are not in ci/.
LAZY = {"agent/program", "cli/main"}

# What only these modules may touch.
DOORS = {
    "ctypes": {"ci/system/signals.py"},
    "date.today": set(),
    "datetime.now": {"ci/system/clock.py"},
    "datetime.datetime.now": set(),
    "datetime.utcnow": set(),
    "docker": {"ci/docker/client.py"},
    "fcntl": {"ci/system/file_lock.py"},
    "httpx": {"ci/images/registry.py", "ci/github/api.py"},
    "jinja2": {"ci/github/workflows/render.py", "ci/report/page/template.py"},
    "junitparser": {"ci/report/final/junit.py"},
    "pydantic": {"ci/system/codec.py", "ci/system/json_schema.py", "ci/catalog/columns.py"},
    "opentelemetry": {"ci/report/telemetry/export.py"},
    "os.environ": {"ci/system/environ.py"},
    "os.getenv": set(),
    "random": {"ci/plan/fleet/draws.py"},
    "rich": {"ci/report/console.py"},
    "ruamel": {"ci/facts/tree/workflow_file.py", "ci/github/parity/stage_job.py"},
    "secrets": {"ci/system/clock.py"},
    "simpy": {"ci/plan/fleet/simulate.py"},
    "subprocess": {"ci/system/process.py"},
    # around ci/system/inert.py, which keeps text from being a workflow command
    "os.write": {"ci/record/event_log.py", "ci/system/output.py"},
    "sys.__stderr__": {"ci/system/inert.py"},
    "sys.__stdout__": {"ci/system/inert.py"},
    "sys.stderr.buffer": set(),
    "sys.stdout.buffer": set(),
    "time": {"ci/system/clock.py"},
    "tree_sitter": {"ci/facts/scripts/shell.py"},
    "tree_sitter_bash": {"ci/facts/scripts/shell.py"},
}
# the parts of the agent that rooms of the host may import, and all that they may import of them
SHARED = {
    "agent/judge": {"agent/judge", "agent/judge/judge", "agent/judge/symptom"},
    "agent/slots": {"agent/slots"},
}
# programs of their own in another interpreter
PROGRAMS = {
    "ci/docker/container_init.py",
    "ci/engine/convert_weights.py",
    "ci/facts/sglang/environ_program.py",
    "ci/facts/sglang/parser_program.py",
    "ci/install/inspector.py",
}


def sources() -> list[Path]:
    return sorted(
        path
        for path in (REPOSITORY / "ci").rglob("*.py")
        if not path.is_relative_to(REPOSITORY / "ci" / APART)
        and str(path.relative_to(REPOSITORY)) not in PROGRAMS
    )


# the last names of doors that are attributes: writing every attribute as text takes longer than all else
DOOR_ATTRIBUTES = {door.rpartition(".")[2] for door in DOORS}


@cache
def touched(path: Path) -> frozenset[str]:
    """Modules that a file imports, `module.name` for names taken from one, and attributes that are doors."""
    return frozenset(_touched(path))


def _touched(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and node.attr in DOOR_ATTRIBUTES:
            text = ast.unparse(node)
            if text in DOORS:
                yield text


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_opens_a_door_of_another(path: Path) -> None:
    name = str(path.relative_to(REPOSITORY))
    opened = {
        door
        for module in touched(path)
        for door, owners in DOORS.items()
        if (module == door or module.startswith(door + ".")) and name not in owners
    }
    assert not opened, f"{name} opens {opened}: go through the door's module"


@pytest.mark.parametrize(
    ("door", "owner"), [(door, owner) for door in DOORS for owner in sorted(DOORS[door])]
)
def test_no_door_has_an_owner_that_does_not_use_it(door: str, owner: str) -> None:
    assert any(name == door or name.startswith(door + ".") for name in touched(REPOSITORY / owner))


def test_every_module_is_in_a_room_and_every_room_has_one() -> None:
    assert {name for name in MODULES if not room_of(name)} == {""}
    assert {room_of(name) for name in MODULES} - {""} == {*ROOMS, APART}


def upward(modules: Mapping[str, Module]) -> set[str]:
    """Imports of a later room, those in functions too."""
    return {
        f"{module.name} -> {each.module}"
        for module in modules.values()
        for each in module.imports
        if APART not in (room_of(module.name), room_of(each.module))
        and each.module
        and ROOMS.index(room_of(each.module)) > ROOMS.index(room_of(module.name))
    }


def test_no_module_imports_a_later_room() -> None:
    assert not upward(MODULES)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module.name: {each.module for each in module.imports} for module in MODULES.values()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_dispatch_imports_in_a_function() -> None:
    lazy = {
        f"{module.name} -> {each.module}"
        for module in MODULES.values()
        for each in module.imports
        if each.lazy and module.name not in LAZY
    }
    assert not lazy


def test_what_nox_and_inv_start_with_needs_the_standard_library_alone() -> None:
    """Modules of ours that noxfile.py and `inv` import, and what those import, have nothing installed yet."""
    needed = {name for name in MODULES if room_of(name) == "nox"} | {"catalog/menu", "system/signals"}
    while more := {each.module for name in needed for each in MODULES[name].imports} - needed:
        needed |= more
    assert {room_of(name) for name in needed} <= {"", "errors", "system", "catalog", "nox"}
    for name in needed:
        path = REPOSITORY / "ci" / f"{name}.py"
        foreign = {each.partition(".")[0] for each in (touched(path) if path.is_file() else ())}
        assert foreign <= {"ci", *sys.stdlib_module_names}, name


def test_the_agent_imports_nothing_else() -> None:
    """It is carried to where nothing of `ci` is: the standard library and pytest are all that it has there."""
    for path in (REPOSITORY / "ci" / APART).rglob("*.py"):
        name = path.relative_to(REPOSITORY / "ci").with_suffix("").as_posix().removesuffix("/__init__")
        assert all(room_of(each.module) == APART for each in MODULES[name].imports), name
        foreign = {each.partition(".")[0] for each in touched(path)} - (sys.stdlib_module_names - {"tomllib"})
        assert foreign <= {"pytest"}, f"{name} imports {foreign}"


def test_nothing_imports_the_agent_but_what_it_shares() -> None:
    for module in MODULES.values():
        theirs = {each.module for each in module.imports if room_of(each.module) == APART}
        assert room_of(module.name) == APART or theirs <= set().union(*SHARED.values()), module.name


@pytest.mark.parametrize("package", SHARED)
def test_what_the_agent_shares_is_pure_and_alone(package: str) -> None:
    outside = {"io", "os", "pathlib", "random", "socket", "subprocess", "tempfile", "time"}
    for path in (REPOSITORY / "ci" / package).glob("*.py"):
        name = f"{package}/{path.stem}".removesuffix("/__init__")
        assert all(each.module.startswith(package) for each in MODULES[name].imports), name
        assert not {each.partition(".")[0] for each in touched(path)} & outside, name


@pytest.mark.parametrize("path", sorted(PROGRAMS))
def test_a_program_of_its_own_imports_nothing_of_ours(path: str) -> None:
    assert not MODULES[path.removeprefix("ci/").removesuffix(".py")].imports


def test_planning_touches_nothing_outside() -> None:
    outside = {"os", "pathlib", "subprocess", "socket", "time", "shutil", "tempfile", "urllib", "io"}
    for path in (REPOSITORY / "ci/plan").rglob("*.py"):
        used = {module.split(".")[0] for module in touched(path)} & outside
        assert not used, f"{path.name} imports {used}"


def test_the_harness_imports_nothing_from_ci() -> None:
    for folder in ("harness", "registered"):
        for path in (REPOSITORY / "test" / folder).rglob("*.py"):
            assert not [module for module in touched(path) if module.split(".")[0] == "ci"], path


def test_every_room_is_explained() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text()
    rooms = {room.partition("/")[0] for room in ROOMS if room != "__main__"} | {APART}
    folders = {room for room in ROOMS if "/" in room and (REPOSITORY / "ci" / room).is_dir()}
    assert {room for room in rooms if f"\n**{room}**: " not in text} == set()
    assert {folder for folder in folders if f"`{folder.partition('/')[2]}/`" not in text} == set()
