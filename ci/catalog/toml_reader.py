"""TOML files and the lines of their keys. Standard library alone: the noxfile reads its menu with it."""

import difflib
import functools
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ci.errors import Problem

__all__ = ["CATALOG_DIR", "KeyPath", "TomlFile", "closest", "lines_of_keys"]

CATALOG_DIR = Path(__file__).parent

# A list of names is for reading: more of them are counted.
_HINT_CHARACTERS, _FEW = 240, 3

# Keys from the top of a file down, and indices of arrays: ("suite", 3, "timeout_s").
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t]+ | \#[^\n]* )
    | (?P<newline> \n )
    | (?P<comma> , )
    | (?P<mark> [\[\]{}=] )
    | (?P<string> \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5} | " (?:\\.|[^"\\])* " | ' [^']* ' )
    | (?P<bare> [^"'\#\n\[\]{}=,\ \t]+ (?: [ ] \d\d:\d\d [^\#\n\[\]{}=,\ \t]* )? )  # a date may hold a blank
    """,
    re.VERBOSE | re.DOTALL,
)
# of every key but a few: what is dotted or quoted is left to tomllib
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def closest(name: str, known: Collection[str]) -> str:
    """A hint that names the nearest known names, or the first of all when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(str(item)) for item in near) + "?"
    if not known:
        return "nothing is known"
    names = sorted(known)
    fit = next((count for count in range(len(names), _FEW, -1) if _fits(names[:count])), _FEW)
    more = f" and {len(names) - fit} more" if len(names) > fit else ""
    return "known: " + ", ".join(names[:fit]) + more


def _fits(names: Sequence[str]) -> bool:
    return sum(map(len, names)) <= _HINT_CHARACTERS


class TomlFile:
    """One TOML file: its data, empty where it cannot be read, and the line of each key."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        """Read `path`; what is wrong is added to `problems`. `read` says whether it is TOML."""
        self.name = f"{path.parent.name}/{path.name}"
        self.problems = problems
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
        line = line or self.line(path)
        where = ":".join((self.name, *([str(line)] if line else [])))
        self.problems.append(Problem(where=f"{where}: {label}" if label else where, what=what, hint=hint))


def lines_of_keys(text: str) -> Mapping[KeyPath, int]:
    """The line of every table, key and item of an array in a valid TOML text without carriage returns."""
    return _Scanner(text).found


class _Scanner:
    """Walks the tokens of a text that tomllib has read, so that nothing has to be checked."""

    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}
        self._line = 1
        self._tokens = _TOKEN.finditer(text)
        self._kind, self._word = "", ""
        self._next()
        table: KeyPath = ()
        while self._kind:
            if self._word == "[":
                table = self._header()
            elif self._kind == "newline":
                self._next()
            else:
                self._pair(table)

    def _next(self) -> None:
        """Go to the next token that is not white space or a comment."""
        self._line += self._word.count("\n")
        for token in self._tokens:
            if token.lastgroup != "blank":
                self._kind, self._word = token.lastgroup or "", token[0]
                return
        self._kind = self._word = ""

    def _until(self, end: str) -> str:
        """What is written before the token `end`, which is passed too."""
        text = ""
        while self._word != end:
            text += self._word
            self._next()
        self._next()
        return text

    def _note(self, path: KeyPath) -> KeyPath:
        self.found.setdefault(path, self._line)
        return path

    def _header(self) -> KeyPath:
        """`[key]` and `[[key]]`; `[suite.env]` belongs to the last `[[suite]]` before it."""
        self._next()
        is_item = self._word == "["
        if is_item:
            self._next()
        path: KeyPath = ()
        for part in _parts(self._until("]")):
            path = self._note((*path, self._counts[path], part) if path in self._counts else (*path, part))
        if is_item:
            self._next()
            self._counts[path] = self._counts.get(path, -1) + 1
            path = self._note((*path, self._counts[path]))
        return path

    def _pair(self, path: KeyPath) -> None:
        line = self._line
        for part in _parts(self._until("=")):
            path = (*path, part)
            self.found.setdefault(path, line)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening, count = self._word, 0
        self._next()
        if opening not in ("[", "{"):
            return
        while self._word not in ("]", "}"):
            if self._kind in ("newline", "comma"):
                self._next()
            elif opening == "{":
                self._pair(path)
            else:
                self._value(self._note((*path, count)))
                count += 1
        self._next()


def _parts(key: str) -> Iterator[str]:
    """The parts of a key, dotted and quoted in any way."""
    if _BARE_KEY.fullmatch(key):
        yield key
        return
    value: Any = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        ((part, value),) = value.items()
        yield part
