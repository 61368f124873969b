"""What `nox -l` lists for the stages: standard library alone and one small file, since every nox call pays for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from ci.catalog.toml_reader import CATALOG_DIR, TomlFile
from ci.errors import Problem, UsageError

__all__ = ["MenuRow", "menu"]

_Table = Mapping[str, Any]

_STAGE = dict.fromkeys(("id", "session", "title", "why", "source"), str)
_SUITE: Mapping[str, type] = {
    **dict.fromkeys(("id", "stage", "name", "family", "why", "source"), str),
    **dict.fromkeys(("gpus", "shards"), int),
    "timeout_min": Real,
}
_NOUNS: Mapping[type, str] = {str: "string", int: "whole number", Real: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuRow:
    """A session of a stage: the whole stage (`suite` empty) or one suite of it."""

    session: str
    suite: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    stage_id: str


def menu(folder: Path = CATALOG_DIR) -> tuple[MenuRow, ...]:
    """Every stage session, each followed by its suites.

    Only what a listing shows is looked at, so that a fault elsewhere leaves `nox -s check` to name it.

    Raises:
        UsageError: `stages.toml` lacks something that a listing shows.
    """
    problems: list[Problem] = []
    toml = TomlFile(folder / "stages.toml", problems)
    stages, suites = _tables(toml, "stage", _STAGE), _tables(toml, "suite", _SUITE)
    if problems:
        raise UsageError(
            "the stages cannot be listed", problems=problems, then="fix these rows, then: nox -s check"
        )
    rows: list[MenuRow] = []
    for stage in stages:
        own = [suite for suite in suites if suite["stage"] == stage["id"]]
        rows.append(_stage_row(stage, own))
        rows += [_suite_row(stage, suite) for suite in own]
    return tuple(rows)


def _tables(toml: TomlFile, array: str, needed: Mapping[str, type]) -> Sequence[_Table]:
    """The tables of an array, each with the keys that are shown."""
    tables = toml.data.get(array, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        toml.problem("must be an array of tables", f"write [[{array}]]", path=(array,), label=array)
        return ()
    for index, table in enumerate(tables):
        for key, kind in needed.items():
            value = table.get(key)
            if not isinstance(value, kind):
                what = "is missing" if value is None else f"is {value!r}, not a {_NOUNS[kind]}"
                toml.problem(
                    what, path=(array, index, key), label=f"{array}[{table.get('name', index)}].{key}"
                )
    return tables


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _stage_row(stage: _Table, suites: Sequence[_Table]) -> MenuRow:
    gpus = sorted({suite["gpus"] for suite in suites}) or [0]
    span = _count(gpus[0], "GPU") if len(gpus) == 1 else f"{gpus[0]}-{gpus[-1]} GPUs"
    shards = _count(sum(suite["shards"] for suite in suites), "shard")
    longest = max((suite["timeout_min"] for suite in suites), default=0)
    what = f"{_count(len(suites), 'suite')}, {span}, {shards}, up to {longest:g} min a shard"
    return MenuRow(
        session=stage["session"],
        suite="",
        name=stage["session"],
        title=f"{stage['title']}: {what if suites else '-- --checkout PATH'}",
        description=f"{stage['why']}\n\nSource: {stage['source']}",
        tags=("stage",),
        stage_id=stage["id"],
    )


def _suite_row(stage: _Table, suite: _Table) -> MenuRow:
    gpus = f"{_count(suite['gpus'], 'GPU')} {suite['family']}" + (" fabric" if suite.get("fabric") else "")
    return MenuRow(
        session=stage["session"],
        suite=suite["id"],
        name=f"{stage['session']}({suite['id']})",
        title=f"{suite['name']}: {gpus}, {_count(suite['shards'], 'shard')}, {suite['timeout_min']:g} min",
        description=f"{suite['why']}\n\nSource: {suite['source']}",
        tags=("suite", _count(suite["gpus"], "GPU"), suite["family"]),
        stage_id=stage["id"],
    )
