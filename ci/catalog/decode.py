"""TOML rows decoded into frozen dataclasses; every problem has its file, line and key, and a hint."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple, TypeVar

from ci.catalog.columns import Row
from ci.catalog.toml_reader import CATALOG_DIR, KeyPath, TomlFile, closest
from ci.errors import Problem
from ci.system.codec import MISSING, DecodeError, Wrong, decode

__all__ = ["Reader", "RowFile", "hint_of"]

R = TypeVar("R", bound=Row)

# A longer example is not printed.
_EXAMPLE_CHARACTERS = 60


class _Origin(NamedTuple):
    row: Row
    file: "RowFile"
    path: KeyPath
    table: Mapping[str, object]


class Reader:
    """Reads the TOML files of a folder, collects every problem, and knows the place of each row."""

    def __init__(self, folder: Path = CATALOG_DIR) -> None:
        """Nothing is read before a file is opened."""
        self.folder = folder
        self.problems: list[Problem] = []
        # by file and array, what its rows are
        self.kinds: dict[str, dict[str, type[Row]]] = {}
        self._files: dict[str, RowFile] = {}
        self._origins: dict[int, _Origin] = {}
        self._tables: dict[type[Row], tuple[RowFile, str]] = {}
        self._broken: set[str] = set()
        self._all_read = True

    def open(self, name: str, *arrays: str, problems: list[Problem] | None = None) -> "RowFile":
        """A file of the folder, which may hold these arrays of tables alone; `problems` is a list for this file only."""
        toml = TomlFile(self.folder / name, self.problems if problems is None else problems)
        self._all_read &= toml.read
        self._files[name] = RowFile(self, toml, arrays, self.kinds.setdefault(name, {}))
        return self._files[name]

    def opened(self, name: str) -> "RowFile":
        """A file that was opened before."""
        return self._files[name]

    def remember(self, row: Row, file: "RowFile", path: KeyPath, table: Mapping[str, object]) -> None:
        """Note the place of a row."""
        self._origins[id(row)] = _Origin(row, file, path, table)  # holding the row keeps its id its own
        self._tables[type(row)] = (file, str(path[0]))

    def remember_part(self, part: Row, row: Row) -> None:
        """Note that `part` is made of a row that was read here."""
        self.remember(part, *self._origins[id(row)][1:])

    def leave_out(self, kind: type[Row], table: Mapping[str, object]) -> None:
        """Note what a row that could not be decoded is called: a row that names it is not at fault."""
        names = (table.get(key) for key in (kind.KEY, *kind.PROVIDES))
        self._broken.update(name for name in names if isinstance(name, str))

    def problem(self, row: Row, key: str, what: str, hint: str = "") -> None:
        """Note a problem of a row that was read here; `key` is empty for the row as a whole."""
        origin = self._origins[id(row)]
        origin.file.note((*origin.path, *([key] if key else [])), what, hint)

    def has(self, row: Row, key: str) -> bool:
        """Whether the file says anything for this key of the row."""
        return key in self._origins[id(row)].table

    def line(self, row: Row) -> str:
        """File and line of a row that was read here."""
        origin = self._origins[id(row)]
        return f"{origin.file.name}:{origin.file.line(origin.path)}"

    def where(self, row: Row, key: str = "") -> str:
        """File, line and name of a row, as problems have it; without the line for a row that was made elsewhere."""
        origin = self._origins.get(id(row))
        if origin is not None and origin.row is row:
            path = (*origin.path, *([key] if key else []))
            return f"{origin.file.name}:{origin.file.line(path)}: {origin.file.label(path)}"
        file, array = self._tables[type(row)]
        return f"{file.name}: {array}[{getattr(row, row.KEY, '')}]" + (f".{key}" if key else "")

    def may_exist(self, name: str, known: Collection[str]) -> bool:
        """Whether a name is known, or might be if what could not be read or decoded were sound."""
        return name in known or name in self._broken or not (known or self._all_read)


class RowFile:
    """One file of arrays of tables."""

    def __init__(
        self, reader: Reader, toml: TomlFile, arrays: Collection[str], kinds: dict[str, type[Row]]
    ) -> None:
        """`arrays` are the names of the arrays of tables that it may hold; `kinds` gets what their rows are."""
        self.name = toml.name
        self._reader = reader
        self._toml = toml
        self._kinds = kinds
        self._incomplete: set[str] = set()
        for name in toml.data:
            if name not in arrays:
                toml.problem("unknown table", closest(name, arrays), path=(name,), label=name)

    def complete(self, *arrays: str) -> bool:
        """Whether the file could be read and every row of these arrays decoded: else counting them proves nothing."""
        return self._toml.read and not self._incomplete.intersection(arrays)

    def rows(self, array: str, kind: type[R]) -> tuple[R, ...]:
        """The rows of `[[array]]` that can be decoded, in the file's order."""
        self._kinds[array] = kind
        tables = self._tables(array)
        if tables is None:
            self._incomplete.add(array)
            self.problem(array, "must be an array of tables", f"write [[{array}]]")
            return ()
        found: dict[int, R] = {}
        faults: list[tuple[int, Wrong]] = []
        for index, table in enumerate(tables):
            try:
                found[index] = decode(kind, table)
            except DecodeError as error:
                faults += [(index, wrong) for wrong in error.wrong]
                self._reader.leave_out(kind, table)
                self._incomplete.add(array)
            else:
                self._reader.remember(found[index], self, (array, index), table)
        for index, wrong in faults:
            example = _example(wrong.path, (tables[other] for other in found))
            self.note((array, index, *wrong.path), wrong.what, hint_of(wrong, example))
        if not kind.REPEATS:
            self.unique(array, kind.KEY)
        return tuple(found.values())

    def row(self, array: str, kind: type[R]) -> R:
        """The one row of `[[array]]`; one of empty strings where there is a problem with it."""
        rows = self.rows(array, kind)
        count = len(rows)
        if self.complete(array) and count != 1:
            self.problem(array, f"has {count} rows", f"write exactly one [[{array}]]")
        return rows[0] if rows else kind(**dict.fromkeys((field.name for field in fields(kind)), ""))

    def unique(self, array: str, key: str) -> None:
        """Note every value of `key` that appears in more than one row."""
        first: dict[str | int, int] = {}
        for index, table in enumerate(self._tables(array) or ()):
            value = table.get(key)
            if not isinstance(value, str | int):
                continue
            if value in first:
                line = self._toml.line((array, first[value], key))
                self.note((array, index, key), f"{value!r} appears twice", f"first in line {line}")
            first.setdefault(value, index)

    def refer(self, array: str, key: str, noun: str, known: Collection[str]) -> None:
        """Note every name under `key` that is not a known `noun`, also in rows that could not be decoded."""
        for index, table in enumerate(self._tables(array) or ()):
            for name in _several(table.get(key, [])):
                if isinstance(name, str) and not self._reader.may_exist(name, known):
                    self.note((array, index, key), f"unknown {noun} {name!r}", closest(name, known))

    def _tables(self, array: str) -> Sequence[Mapping[str, object]] | None:
        """The tables of an array, None if it is something else."""
        tables = self._toml.data.get(array, [])
        return tables if isinstance(tables, list) and all(isinstance(one, dict) for one in tables) else None

    def problem(self, array: str, what: str, hint: str = "") -> None:
        """Note a problem of an array of tables as a whole."""
        self.note((array,), what, hint)

    def note(self, path: KeyPath, what: str, hint: str = "") -> None:
        """Note a problem of the value at `path`."""
        self._toml.problem(what, hint, path=path, label=self.label(path))

    def line(self, path: KeyPath) -> int:
        """The line of the value at `path`."""
        return self._toml.line(path)

    def label(self, path: KeyPath) -> str:
        """`suite[stage-a-test].env_sets[0]`: a row is named by its key, else by its number."""
        label = str(path[0])
        if len(path) > 1:
            table = self._toml.data[label][path[1]]
            label += f"[{table.get(self._kinds[label].KEY, path[1])}]"
        return label + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[2:])


def hint_of(wrong: Wrong, example: str = "") -> str:
    """What would fit: the nearest known names, else what the type says, else how another row has it."""
    if wrong.known:
        return closest(wrong.name, wrong.known)
    if wrong.hint and (wrong.what != MISSING or "e.g." in wrong.hint):
        return wrong.hint
    return ", ".join(part for part in (wrong.hint, example) if part)


def _example(path: KeyPath, tables: Iterable[Mapping[str, object]]) -> str:
    """How another row of the array spells a key."""
    key = str(path[0])
    for table in tables if len(path) == 1 else ():
        given = table.get(key)
        example = (
            f"e.g. {key} = {given!r}"
            if isinstance(given, str)
            else f"e.g. {key} = {json.dumps(given, default=str)}"
        )
        if given is not None and len(example) <= _EXAMPLE_CHARACTERS:
            return example
    return ""


def _several(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]
