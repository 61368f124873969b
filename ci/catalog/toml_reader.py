"""Reading TOML with every problem collected: each with file, key and a hint."""

import difflib
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ci.errors import Problem

__all__ = ["Row", "Tables", "closest"]

_MISSING: Any = object()


def closest(name: str, known: Collection[str]) -> str:
    """A hint that names the nearest known names, or all of them when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(item) for item in near) + "?"
    return "known: " + ", ".join(sorted(known)) if known else "nothing is known here"


class Tables:
    """One TOML file; `rows` hands out its array tables and notes keys that nobody asked for."""

    def __init__(self, path: Path, problems: list[Problem], *, arrays: Collection[str] | None) -> None:
        """Read `path`; `arrays` are the names of the array tables that it may hold, None for names of any kind."""
        self.file = f"{path.parent.name}/{path.name}"
        self._problems = problems
        self._data: dict[str, Any] = {}
        try:
            self._data = tomllib.loads(path.read_bytes().decode())
        except FileNotFoundError:
            self.problem("", "the file is missing", f"restore {path}")
        except OSError as error:
            self.problem("", f"can't be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.problem("", f"is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
        except tomllib.TOMLDecodeError as error:
            self.problem("", f"is not TOML: {error}", "https://toml.io has the syntax")
        if arrays is not None:
            for key in self._data:
                if key not in arrays:
                    self.problem(key, "unknown table", closest(key, arrays))

    @classmethod
    def free(cls, path: Path, problems: list[Problem]) -> "Tables":
        """A file whose tables have names of their own."""
        return cls(path, problems, arrays=None)

    def items(self) -> list[tuple[str, Any]]:
        """Every top-level key and its value, in the file's order."""
        return list(self._data.items())

    def problem(self, key: str, what: str, hint: str = "") -> None:
        """Note a problem of this file."""
        self._problems.append(
            Problem(where=f"{self.file}: {key}" if key else self.file, what=what, hint=hint)
        )

    def rows(self, name: str, key: str = "id") -> list["Row"]:
        """The rows of `[[name]]`, in the file's order; messages name each by its `key`, else by its number."""
        value = self._data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.problem(name, "must be an array of tables", f"write [[{name}]]")
            return []
        return [Row(self, f"{name}[{item.get(key, number)}]", item) for number, item in enumerate(value)]

    def unique(self, rows: Sequence["Row"], key: str = "id") -> None:
        """Note every value of `key` that stands in more than one row."""
        seen: dict[str, str] = {}
        for row in rows:
            value = row.raw(key)
            if isinstance(value, str) and value in seen:
                self.problem(
                    f"{row.where}.{key}", f"{value!r} stands there twice", "ids are unique within a file"
                )
            elif isinstance(value, str):
                seen[value] = row.where


class Row:
    """One table of a file: typed getters that note a problem and hand out a harmless value instead of raising."""

    def __init__(self, tables: Tables, where: str, data: Mapping[str, Any]) -> None:
        """`where` is how messages name the row."""
        self.where = where
        self._tables = tables
        self._data = data
        self._asked: set[str] = set()

    def raw(self, key: str) -> Any:
        """The value as TOML gave it, None when absent."""
        self._asked.add(key)
        return self._data.get(key)

    def problem(self, key: str, what: str, hint: str = "") -> None:
        """Note a problem of this row."""
        self._tables.problem(f"{self.where}.{key}" if key else self.where, what, hint)

    def _typed(
        self, key: str, kind: type | tuple[type, ...], kind_name: str, default: Any, fallback: Any
    ) -> Any:
        value = self.raw(key)
        if value is None:
            if default is _MISSING:
                self.problem(key, "is missing", f"a {kind_name}")
                return fallback
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problem(key, f"is {value!r}, not a {kind_name}")
            return fallback
        return value

    def text(
        self, key: str, default: Any = _MISSING, *, matches: str = "", among: Collection[str] = ()
    ) -> str:
        """A string that is not empty; optionally one that fits a pattern or stands in a list."""
        value = self._typed(key, str, "string", default, "")
        if isinstance(value, str) and isinstance(self._data.get(key), str):
            if not value.strip():
                self.problem(key, "is empty")
            elif matches and not re.fullmatch(matches, value):
                self.problem(key, f"is {value!r}, which does not fit {matches}")
            elif among and value not in among:
                self.problem(key, f"is {value!r}, which is not known", closest(value, among))
        return value  # type: ignore[no-any-return]  # checked above, TOML is untyped

    def number(
        self, key: str, default: Any = _MISSING, *, above: float | None = None, least: float | None = None
    ) -> float:
        """A finite number, optionally above or at least a bound."""
        value = self._typed(key, (int, float), "number", default, 1)
        if isinstance(value, float) and not math.isfinite(value):
            self.problem(key, f"is {value}, not a finite number")
            return 1
        if above is not None and value is not None and value <= above:
            self.problem(key, f"is {value}", f"must be above {above:g}")
        if least is not None and value is not None and value < least:
            self.problem(key, f"is {value}", f"must be at least {least:g}")
        return value  # type: ignore[no-any-return]  # checked above, TOML is untyped

    def whole(self, key: str, default: Any = _MISSING, *, least: int | None = None) -> int:
        """A whole number, optionally at least a bound."""
        value = self._typed(key, int, "whole number", default, 1)
        if least is not None and value is not None and value < least:
            self.problem(key, f"is {value}", f"must be at least {least}")
        return value  # type: ignore[no-any-return]  # checked above, TOML is untyped

    def day(self, key: str, fallback: date) -> date:
        """A date, as TOML writes it or as a string: 2026-05-29; `fallback` where it is none."""
        value = self.raw(key)
        if value is None:
            self.problem(key, "is missing", "a date, e.g. 2026-05-29")
        elif isinstance(value, date) and not isinstance(value, datetime):
            return value
        else:
            try:
                # fromisoformat alone would also take 20260529 and 2026-W22-5
                return date.fromisoformat(value if re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) else "")
            except (TypeError, ValueError):
                self.problem(
                    key,
                    f"is {value if isinstance(value, datetime) else repr(value)}, not a date",
                    "e.g. 2026-05-29",
                )
        return fallback

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        return bool(self._typed(key, bool, "boolean", default, default))

    def texts(self, key: str, default: Any = _MISSING, *, among: Collection[str] = ()) -> tuple[str, ...]:
        """A list of strings; optionally each one of a list."""
        value = self._typed(key, list, "list of strings", default, [])
        if not all(isinstance(item, str) and item for item in value):
            self.problem(key, f"is {value!r}, not a list of strings")
            return ()
        if among:
            for item in value:
                if item not in among:
                    self.problem(key, f"names {item!r}, which is not known", closest(item, among))
        return tuple(value)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A table, empty when absent."""
        return dict(self._typed(key, dict, "table", {}, {}))

    def done(self) -> None:
        """Note every key of the row that no getter asked for."""
        for key in self._data:
            if key not in self._asked:
                self.problem(key, "unknown key", closest(key, self._asked))
