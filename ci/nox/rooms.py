"""The rooms of `ci/`: the order in which they may import each other, and what their modules import. Standard library alone."""

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["APART", "ROOMS", "Import", "Module", "read_modules", "room_of"]

# The import order: a module may import its own room and the rooms above it. A name is a folder of ci/ without its
# sub-rooms, or a single module.
ROOMS: Final = (
    "errors",
    "system",
    "catalog",
    "catalog/registrations",
    "nox",
    "plan/shards",
    "plan/request",
    "plan/model",
    "plan/facts",
    "plan/container",
    "plan",
    "plan/compare",
    "plan/jobs",
    "record",
    "docker",
    "images",
    "install",
    "health",
    "facts",
    "execute",
    "report",
    "report/live",
    "report/final",
    "report/views",
    "github",
    "github/workflows",
    "github/parity",
    "repro",
    "cli",
    "__main__",
)
# A program of its own in another interpreter: imports nothing of ci/, and nothing imports it.
APART: Final = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A module of ours that another one imports. `lazy`: only when a function is called."""

    module: str
    lazy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module by its path below `ci/`, without the suffix: `plan/container/image`. A package's own file is `plan`."""

    name: str
    lines: int
    imports: tuple[Import, ...]


def read_modules(root: Path) -> Mapping[str, Module]:
    """Every module of `ci/` in a checkout, by name, with its imports of others among them."""
    files = {_name(root, path): path for path in sorted((root / "ci").rglob("*.py"))}
    found = {}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        package = name if path.name == "__init__.py" else name.rpartition("/")[0]
        imports = tuple(dict.fromkeys(_imports(ast.parse(text), package, files.keys())))
        found[name] = Module(name=name, lines=text.count("\n"), imports=imports)
    return found


def room_of(name: str) -> str:
    """The entry of `ROOMS` that a module belongs to, or `agent`; empty for the package `ci` itself."""
    parts = name.split("/")
    entries = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((entry for entry in entries if entry in ROOMS or entry == APART), "")


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root / "ci").with_suffix("").parts
    return "/".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, package: str, ours: Collection[str]) -> Iterator[Import]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lazy = {inner for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["ci", *package.split("/")][: -node.level + 1 or None] if node.level else []
            start = [*above, *(node.module.split(".") if node.module else ())]
            names = [[*start, alias.name] for alias in node.names]
        else:
            continue
        for first, *rest in names:
            # `from package import module` imports the module, `from module import name` the module
            found = ["/".join(rest), "/".join(rest[:-1])]
            if first == "ci":
                yield Import(module=found[0] if found[0] in ours else found[1], lazy=node in lazy)
