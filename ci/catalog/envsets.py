"""Env sets: `envs/*.toml`, one set per table, one `{ value, why }` per variable."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.catalog.records import SecretWords
from ci.catalog.toml_reader import Tables, closest
from ci.errors import Problem

__all__ = ["ENVS_DIR", "EnvSet", "EnvVariable", "is_secret", "load_env_sets"]

ENVS_DIR = Path(__file__).parent.parent.parent / "envs"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVariable:
    """One variable of a set, with the reason for its value."""

    name: str
    value: str
    why: str


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
        tables = Tables.free(path, problems)
        if not re.fullmatch(r"[a-z0-9_]+", path.stem):
            tables.problem("", "the file's name is not lower case letters, digits and underscores")
        for table, content in tables.items():
            variables = _variables(tables, table, content, secrets)
            sets[f"{path.stem}.{table}"] = EnvSet(id=f"{path.stem}.{table}", variables=variables)
    return sets


def _variables(
    tables: Tables, table: str, content: Any, secrets: tuple[SecretWords, ...]
) -> tuple[EnvVariable, ...]:
    if not _TABLE.fullmatch(table) or not isinstance(content, dict):
        tables.problem(
            table, "is not a set", "a set is a table with an upper case name, e.g. [COMMON_ENV_VARS]"
        )
        return ()
    variables = []
    for name, entry in content.items():
        where = f"{table}.{name}"
        if not _VARIABLE.fullmatch(name):
            tables.problem(where, "is not a variable's name", "letters, digits and underscores")
        if not isinstance(entry, dict):
            tables.problem(where, f"is {entry!r}", 'write { value = "...", why = "..." }')
            continue
        for key in entry:
            if key not in ("value", "why"):
                tables.problem(f"{where}.{key}", "unknown key", closest(key, ("value", "why")))
        value, why = entry.get("value"), entry.get("why")
        if not isinstance(value, str):
            tables.problem(
                f"{where}.value", "is missing or not a string", "environment values are strings: quote it"
            )
            value = ""
        if "\0" in value:
            tables.problem(f"{where}.value", "holds a NUL byte")
        if not isinstance(why, str) or not why.strip():
            tables.problem(f"{where}.why", "is missing", "one line that says why this value")
            why = ""
        if is_secret(name, secrets):
            what = "looks like a secret and has a literal value"
            tables.problem(
                where, what, "export it in the caller's environment and add its name to [[pass_through]]"
            )
            continue
        variables.append(EnvVariable(name=name, value=value, why=why))
    return tuple(variables)
