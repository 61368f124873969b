"""What an SGLang checkout wants of its environment, read from its pyproject files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from ci.catalog.sglang import SglangRows
from ci.catalog.toml_reader import KeyPath, TomlFile
from ci.errors import Problem, UsageError

__all__ = ["TreeWants", "applicable", "bare", "tree_wants"]

# The first that a checkout has says what it wants on a CPU.
_FILES: Final = ("pyproject_cpu.toml", "pyproject_other.toml", "pyproject.toml")
# The platform of the engine's environment, for the markers of requirements.
_PLATFORM: Final = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "extra": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWants:
    """`transformers` is a version, or empty where the checkout names a range; `requirements` are those that layers follow.

    `where` is the file and line that says it; `scripts` are the checkout's console scripts, `arguments` what its server needs
    on a CPU.
    """

    transformers: str
    requirements: tuple[str, ...]
    scripts: Mapping[str, str]
    arguments: tuple[str, ...]
    where: str


def tree_wants(tree: Path, rows: SglangRows) -> TreeWants:
    """Read a checkout.

    Raises:
        UsageError: it has no such file, or one that cannot be read or does not name transformers or a console script.
    """
    folder = tree / "python"
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        raise UsageError(
            f"{tree} is not an SGLang checkout: it has no python/pyproject.toml",
            then="--checkout PATH names the folder that holds `python` and `test`",
        )
    problems: list[Problem] = []
    file = TomlFile(path, problems)
    found: dict[str, tuple[Requirement, KeyPath]] = {}
    for text, key in _requirements(file.data):
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            file.problem(f"{text!r} is not a requirement: {str(error).splitlines()[0]}", path=key)
            continue
        if applicable(requirement, rows.base.python):
            found.setdefault(requirement.name.lower(), (requirement, key))
    scripts = _table(file.data, "project", "scripts")
    if not problems and "transformers" not in found:
        file.problem("does not name transformers", "its version decides what the engine's environment holds")
    if not problems and not scripts:
        file.problem("has no [project.scripts]", "tests call its console script sglang")
    if problems:
        raise UsageError(f"{tree}: its requirements cannot be read", problems=problems)
    requirement, key = found["transformers"]
    return TreeWants(
        transformers=_exact(requirement),
        requirements=tuple(bare(found[name][0]) for name in rows.follow if name in found),
        scripts={str(name): str(target) for name, target in scripts.items()},
        arguments=_arguments(tree, rows),
        where=f"{file.name}:{file.line(key)}",
    )


def _arguments(tree: Path, rows: SglangRows) -> tuple[str, ...]:
    found: list[str] = []
    for row in rows.arguments:
        path = tree / row.file
        if not (path.is_file() and row.text in path.read_text(encoding="utf-8", errors="replace")):
            found += row.args
    return tuple(found)


def applicable(requirement: Requirement, python_minor: str) -> bool:
    """Whether a requirement is for Linux on x86-64 with this Python, and not for an extra."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**_PLATFORM, "python_version": python_minor})


def _exact(requirement: Requirement) -> str:
    """The one version that a requirement allows; empty when it allows several."""
    pins = [
        each.version for each in requirement.specifier if each.operator == "==" and "*" not in each.version
    ]
    return pins[0] if len(requirement.specifier) == 1 and pins else ""


def bare(requirement: Requirement) -> str:
    """Name and versions, without extras and markers."""
    return f"{requirement.name}{requirement.specifier}"


def _requirements(data: Mapping[str, object]) -> Iterator[tuple[str, KeyPath]]:
    """The requirements of a project, then those of its extras: the files for several devices have them there."""
    for index, text in enumerate(_list(_table(data, "project").get("dependencies"))):
        yield str(text), ("project", "dependencies", index)
    for extra, texts in _table(data, "project", "optional-dependencies").items():
        for index, text in enumerate(_list(texts)):
            yield str(text), ("project", "optional-dependencies", extra, index)


def _table(data: object, *keys: str) -> Mapping[str, object]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
