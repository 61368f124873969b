"""The rooms of `ci/`: the order in which they may import each other, and what their modules import."""

import re
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
    "plan/container",
    "plan",
    "plan/compare",
    "plan/contract",
    "plan/jobs",
    "record",
    "docker",
    "slurm",
    "images",
    "install",
    "engine",
    "health",
    "facts",
    "facts/sglang",
    "execute",
    "report",
    "report/live",
    "report/final",
    "report/reference",
    "report/views",
    "github",
    "github/workflows",
    "github/parity",
    "repro",
    "cli",
    "__main__",
)
# A program of its own in another interpreter: imports nothing of ci/, and nothing but its judge is imported (decision 0022).
APART: Final = "agent"

# Copied into the engine's environment, where it is a package of its own.
_COPIED: Final = "engine/kernel_stub"

# Read by pattern, which takes a tenth of the time of parsing: indent, `from` what, names; or `import` what. An indented
# import is one in a function.
_IMPORT: Final = re.compile(
    r"^([ \t]*)(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)|import[ \t]+([^\n#]+))",
    re.MULTILINE,
)
_NAME: Final = re.compile(r"(?<![\w.])(?!as\b)([\w.*]+)(?:[ \t]+as[ \t]+\w+)?(?=[\s,)]|$)")


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
    files = {
        _name(root, path): path
        for path in sorted((root / "ci").rglob("*.py"))
        if not path.is_relative_to(root / "ci" / _COPIED)
    }
    found = {}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        package = name if path.name == "__init__.py" else name.rpartition("/")[0]
        imports = tuple(dict.fromkeys(_imports(text, package, files.keys())))
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


def _imports(text: str, package: str, ours: Collection[str]) -> Iterator[Import]:
    for indent, start, names, plain in _IMPORT.findall(text):
        dots = len(start) - len(start.lstrip("."))
        above = ["ci", *package.split("/")][: -dots + 1 or None] if dots else []
        for name in _NAME.findall(re.sub("#.*", "", names or plain)):
            first, *rest = [*above, *f"{start[dots:]}.{name}".strip(".").split(".")]
            # `from package import module` imports the module, `from module import name` the module
            found = ["/".join(rest), "/".join(rest[:-1])]
            if first == "ci":
                yield Import(module=found[0] if found[0] in ours else found[1], lazy=bool(indent))
