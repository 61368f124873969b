"""Env sets: `envs/*.toml`, one set per table, one `{ value, why }` per variable, with `versions` where a range needs it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ci.catalog.columns import Explained, matching
from ci.catalog.decode import hint_of
from ci.catalog.environment import SecretWords
from ci.catalog.toml_reader import TomlFile
from ci.catalog.versions import Versions
from ci.errors import Problem
from ci.system.codec import DecodeError, decode
from ci.system.environ import VARIABLE_NAME

__all__ = [
    "ENVS_DIR",
    "STEP_FILES",
    "TABLE_NAME",
    "EnvEntry",
    "EnvSet",
    "EnvVariable",
    "is_secret",
    "load_env_sets",
]

ENVS_DIR = Path(__file__).parent.parent.parent / "envs"

# Files by which a step changes the job that it is in: no test gets their names.
STEP_FILES = frozenset({"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"})

TABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVariable:
    """One variable of a set, with the reason for its value; `versions` are the releases of SGLang that it is for."""

    name: str
    value: str
    why: str
    versions: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvEntry(Explained):
    """A variable as a file has it."""

    value: Annotated[str, matching(r"[^\0]*", "no NUL byte")]
    versions: Versions = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSet:
    """A named set of variables; `id` is `file.TABLE`, e.g. `deepseek_v4.FP4_ENV_VARS`."""

    id: str
    variables: tuple[EnvVariable, ...]


def is_secret(name: str, secrets: Iterable[SecretWords]) -> bool:
    """Whether a variable's name says that its value is a secret: one of the words as a part between underscores."""
    parts = set(name.upper().split("_"))
    return any(parts & set(row.words) for row in secrets)


def load_env_sets(
    problems: list[Problem], secrets: Iterable[SecretWords], folder: Path = ENVS_DIR
) -> Mapping[str, EnvSet]:
    """Read every file of the folder; what is wrong is added to `problems`."""
    secrets = tuple(secrets)
    sets: dict[str, EnvSet] = {}
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        problems.append(
            Problem(where=f"{folder.name}/", what="holds no env set", hint="restore envs/base.toml")
        )
    for path in paths:
        toml = TomlFile(path, problems)
        if not re.fullmatch(r"[a-z0-9_]+", path.stem):
            toml.problem("invalid file name", "lower case letters, digits and underscores")
        # rows that name the sets of a file that cannot be read are not at fault
        sets |= {name: EnvSet(id=name, variables=()) for name in _headers(path)} if not toml.read else {}
        for table, content in toml.data.items():
            if not TABLE_NAME.fullmatch(table) or not isinstance(content, dict):
                hint = "a set is a table with an upper case name, e.g. [COMMON_ENV_VARS]"
                toml.problem("is not a set", hint, path=(table,), label=table)
                continue
            found = (_variable(toml, (table, name), entry, secrets) for name, entry in content.items())
            sets[f"{path.stem}.{table}"] = EnvSet(
                id=f"{path.stem}.{table}", variables=tuple(variable for variable in found if variable)
            )
    return sets


def _headers(path: Path) -> Iterator[str]:
    """Ids of the sets in a file, by its lines `[TABLE]`."""
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from (
            f"{path.stem}.{name}" for name in re.findall(r"^\[([A-Z][A-Z0-9_]*)\]", text, re.MULTILINE)
        )


def _variable(
    toml: TomlFile, path: tuple[str, str], entry: object, secrets: tuple[SecretWords, ...]
) -> EnvVariable | None:
    name, label = path[1], ".".join(path)
    if not VARIABLE_NAME.fullmatch(name):
        toml.problem("invalid variable name", "letters, digits and underscores", path=path, label=label)
    if name in STEP_FILES:
        toml.problem("is for the steps of a job, not for tests", "remove it", path=path, label=label)
        return None
    if is_secret(name, secrets):
        hint = "export it in the caller's environment and add its name to [[pass_through]]"
        toml.problem("looks like a secret and has a literal value", hint, path=path, label=label)
        return None
    try:
        value = decode(EnvEntry, entry)
    except DecodeError as error:
        for wrong in error.wrong:
            hint = hint_of(wrong, 'write { value = "...", why = "..." }')
            toml.problem(
                wrong.what, hint, path=(*path, *wrong.path), label=f"{label}.{wrong.dotted}".rstrip(".")
            )
        return None
    place = f"{toml.name}:{toml.line(path)}"
    return EnvVariable(name=name, value=value.value, why=value.why, versions=value.versions, place=place)
