"""Lines of keys in TOML files: where the scanner finds each is where the generator wrote it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.toml_reader import KeyPath, TomlFile, closest, lines_of_keys
from ci.errors import Problem

# --- a generator that notes the line of everything that it writes

CONFUSING = ("[", "]", "[[x]]", "=", "a = 1", "#", "{", "}", ",", "'", '"', "\\", "\n", "k.k", '"""', "'''")
texts = st.lists(st.sampled_from(CONFUSING) | st.text("ab ", max_size=3), max_size=4).map("".join)
keys = st.text("abz_-0", min_size=1, max_size=3) | texts
scalars = st.one_of(
    texts,
    st.integers(-9, 9),
    st.booleans(),
    st.floats(allow_nan=False),
    st.sampled_from(["1979-05-27", "1979-05-27 07:32:00", "1979-05-27T07:32:00Z", "07:32:00"]).map(
        lambda text: tomllib.loads(f"x = {text}")["x"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(keys, values, max_size=3)
documents = st.dictionaries(keys, tables | st.lists(tables, min_size=1, max_size=3), max_size=4)


class Writer:
    """Writes a document in a random one of its spellings."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def chance(self) -> bool:
        drawn: bool = self.draw(st.booleans())
        return drawn

    def note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, key: str) -> str:
        is_bare = key and set(key) <= set("abz_-0")
        return key if is_bare and self.chance() else json.dumps(key)

    def string(self, value: str) -> str:
        if self.chance() and "'" not in value and "\n" not in value:
            return f"'{value}'"
        if self.chance() and "'''" not in value and not value.endswith("'"):
            return f"'''\n{value}'''"
        if self.chance():
            escaped = value.replace("\\", "\\\\").replace('"""', '""\\"')
            # up to two quotes may stand before the three that end it
            return f'"""{escaped}"""' if not escaped.startswith("\n") else f'"""\n{escaped}"""'
        return json.dumps(value)

    def gap(self) -> None:
        """Between the items of an array: nothing, blank lines, comments."""
        self.text += self.draw(st.sampled_from(["", " ", "\n", "\n\n", " # ] } = [[x]]\n"]))

    def value(self, path: KeyPath, value: Any) -> None:
        if isinstance(value, dict):
            self.text += "{"
            for number, (key, item) in enumerate(value.items()):
                self.text += ", " if number else " "
                self.pair(path, key, item)
            self.text += " }"
        elif isinstance(value, list):
            self.text += "["
            for number, item in enumerate(value):
                self.gap()
                self.note((*path, number))
                self.value((*path, number), item)
                self.gap()
                self.text += "," if number < len(value) - 1 or self.chance() else ""
            self.gap()
            self.text += "]"
        elif isinstance(value, str):
            self.text += self.string(value)
        elif isinstance(value, bool):
            self.text += str(value).lower()
        elif isinstance(value, int | float):
            self.text += repr(value)
        else:
            self.text += (
                value.isoformat(sep=" ")
                if self.chance() and hasattr(value, "hour") and hasattr(value, "year")
                else value.isoformat()
            )

    def pair(self, path: KeyPath, key: str, value: Any) -> None:
        """`key = value`, dotted where the value is a table of one key."""
        spelling = self.key(key)
        line = self.text.count("\n") + 1
        path = (*path, key)
        self.lines.setdefault(path, line)
        while isinstance(value, dict) and len(value) == 1 and self.chance():
            ((key, value),) = value.items()
            spelling += self.draw(st.sampled_from([".", " . "])) + self.key(key)
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.text += f"{spelling}{self.draw(st.sampled_from([' = ', '=', '   =']))}"
        self.value(path, value)

    def end(self) -> None:
        self.text += self.draw(st.sampled_from(["\n", " # a = [\n", "\n\n", "\n   # '''\n"]))

    def document(self, document: dict[str, Any]) -> None:
        for name, content in document.items():
            for number, table in enumerate(content if isinstance(content, list) else [content]):
                is_item = isinstance(content, list)
                self.text += self.draw(st.sampled_from(["", "  "]))
                self.note((name,))
                path: KeyPath = (name, number) if is_item else (name,)
                self.note(path)
                self.text += f"[[{self.key(name)}]]" if is_item else f"[ {self.key(name)} ]"
                self.end()
                below = {key: item for key, item in table.items() if isinstance(item, dict) and self.chance()}
                for key, item in table.items():
                    if key not in below:
                        self.pair(path, key, item)
                        self.end()
                for key, item in below.items():
                    self.note((*path, key))
                    self.text += f"[{self.key(name)}.{self.key(key)}]"
                    self.end()
                    for inner, leaf in item.items():
                        self.pair((*path, key), inner, leaf)
                        self.end()


@st.composite
def written(draw: Any) -> tuple[dict[str, Any], str, dict[KeyPath, int]]:
    document = draw(documents)
    writer = Writer(draw)
    writer.document(document)
    return document, writer.text, writer.lines


@given(written())
def test_every_key_is_found_in_the_line_in_which_it_was_written(
    case: tuple[dict[str, Any], str, dict[KeyPath, int]],
) -> None:
    document, text, lines = case
    assert tomllib.loads(text) == document, "the generator writes what it means"
    assert lines_of_keys(text) == lines


def test_headers_keys_and_items_of_every_kind() -> None:
    text = '''\
top = """
= [x]
"""
list = [
  [1, 2], # ]
  { a = 1, "b]" = [
    3] },
]
[table . "quo=ted"]
key = 'a = "'
[[row]]
a.b = 1
[row.sub]
[[row]]
sub = 1
[[row.item]]
x = 1
'''
    assert lines_of_keys(text) == {
        ("top",): 1,
        ("list",): 4,
        ("list", 0): 5,
        ("list", 0, 0): 5,
        ("list", 0, 1): 5,
        ("list", 1): 6,
        ("list", 1, "a"): 6,
        ("list", 1, "b]"): 6,
        ("list", 1, "b]", 0): 7,
        ("table",): 9,
        ("table", "quo=ted"): 9,
        ("table", "quo=ted", "key"): 10,
        ("row",): 11,
        ("row", 0): 11,
        ("row", 0, "a"): 12,
        ("row", 0, "a", "b"): 12,
        ("row", 0, "sub"): 13,
        ("row", 1): 14,
        ("row", 1, "sub"): 15,
        ("row", 1, "item"): 16,
        ("row", 1, "item", 0): 16,
        ("row", 1, "item", 0, "x"): 17,
    }


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "/rows.toml: the file is missing (restore "),
        (b'a = "\xff"', "/rows.toml: is not UTF-8"),
        (b"a = 1\n\nb =\n", "/rows.toml:3: invalid TOML: Invalid value"),
        (b"a = [", "/rows.toml: invalid TOML: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / "rows.toml").write_bytes(content)
    problems: list[Problem] = []
    file = TomlFile(tmp_path / "rows.toml", problems)
    (problem,) = problems
    assert found in str(problem)
    assert (file.read, file.data) == (False, {})


def test_lines_are_those_of_an_editor_also_with_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_bytes(b'a = """x\r\ny"""\r\nb = 1\r\n')
    problems: list[Problem] = []
    file = TomlFile(tmp_path / "rows.toml", problems)
    assert (file.line(("b",)), file.line(("b", "not there")), file.line(("c",))) == (3, 3, 0)


def test_closest_names_are_named_else_all() -> None:
    assert closest("shard", ["shards", "gpus"]) == "did you mean 'shards'?"
    assert closest("xyz", ["shards", "gpus"]) == "known: gpus, shards"
    many = closest("xyz", [f"test/registered/amd/test_{number:03d}.py" for number in range(250)])
    assert many.endswith(" and 243 more")
    assert len(many) < 300
    assert closest("xyz", []) == "nothing is known"
