"""TOML files and the lines of their keys. Standard library alone: the noxfile reads its menu with it."""

import difflib
import functools
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ci.errors import Problem

__all__ = ["CATALOG_DIR", "KeyPath", "TomlFile", "closest", "lines_of_keys"]

CATALOG_DIR = Path(__file__).parent

# Keys from the top of a file down, and indices of arrays: ("suite", 3, "timeout_s").
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<string> \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5} | " (?:\\.|[^"\\\n])* " | ' [^'\n]* ' )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<open> [\[{] )
    | (?P<close> [\]}] )
    | (?P<equals> = )
    | (?P<other> [^"'\#\n\[\]{}=]+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def closest(name: str, known: Collection[str]) -> str:
    """A hint that names the nearest known names, or all of them when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(item) for item in near) + "?"
    return "known: " + ", ".join(sorted(known)) if known else "nothing is known here"


class TomlFile:
    """One TOML file: its data, empty where it cannot be read, and the line of each key."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        """Read `path`; what is wrong is added to `problems`. `sound` until the first problem, `read` if it is TOML."""
        self.name = f"{path.parent.name}/{path.name}"
        self.problems = problems
        self.sound = True
        self.read = False
        self.data: dict[str, Any] = {}
        self._text = ""
        try:
            self._text = path.read_bytes().decode().replace("\r\n", "\n")
            self.data = tomllib.loads(self._text)
            self.read = True
        except FileNotFoundError:
            self.problem("the file is missing", f"restore {path}")
        except OSError as error:
            self.problem(f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.problem(f"is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
        except tomllib.TOMLDecodeError as error:
            what, _, at = str(error).partition(" (at line ")
            self.problem(f"invalid TOML: {what}", line=int(at.partition(",")[0]) if at[:1].isdigit() else 0)

    @functools.cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return lines_of_keys(self._text)

    def line(self, path: KeyPath) -> int:
        """The line of a key, else of the nearest table around it; 0 for the file as a whole."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines[path] if path else 0

    def problem(
        self, what: str, hint: str = "", *, path: KeyPath = (), label: str = "", line: int = 0
    ) -> None:
        """Note a problem of the key at `path`, which messages call `label`."""
        self.sound = False
        line = line or self.line(path)
        where = ":".join((self.name, *([str(line)] if line else [])))
        self.problems.append(Problem(where=f"{where}: {label}" if label else where, what=what, hint=hint))


def lines_of_keys(text: str) -> dict[KeyPath, int]:
    """The line of every table, array item of tables and key in a valid TOML text; of inline tables the key's alone."""
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    for line, statement in _statements(text):
        if statement.startswith("["):
            is_array = statement.startswith("[[")
            table = _resolve(_key(statement.strip("[]")), counts)
            if is_array:
                counts[table] = counts.get(table, -1) + 1
                found.setdefault(table, line)
                table = (*table, counts[table])
            found.setdefault(table, line)
        else:
            path = table
            for part in _key(statement):
                path = (*path, part)
                found.setdefault(path, line)
    return found


def _resolve(key: tuple[str, ...], counts: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a header: `[suite.env]` belongs to the last `[[suite]]` before it."""
    path: KeyPath = ()
    for part in key:
        if path in counts:
            path = (*path, counts[path])
        path = (*path, part)
    return path


def _key(spelling: str) -> tuple[str, ...]:
    """The parts of a key, dotted and quoted in any way."""
    parts: list[str] = []
    value: Any = tomllib.loads(f"{spelling} = 0")
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Headers with their brackets, and the keys of `key = value`, each with its line."""
    line, start, depth = 1, 1, 0
    spelling, in_value = "", False
    for token in _TOKEN.finditer(text + "\n"):
        kind, word = token.lastgroup, token[0]
        if kind == "newline" and depth == 0:
            if spelling.strip():
                yield start, spelling.strip()
            spelling, in_value = "", False
        elif kind == "equals":
            in_value = True
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        if not in_value and kind in ("string", "open", "close", "other"):
            if not spelling.strip():
                start = line
            spelling += word
        line += word.count("\n")
