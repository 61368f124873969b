"""Editing the rows of a TOML file in place: comments, order and layout of everything else stay as they are."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["add_row", "edit_row"]

_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"\s*(?P<key>[A-Za-z0-9_-]+)\s*=")
_LONG_LIST = 80


def edit_row(text: str, array: str, key: str, name: str, values: Mapping[str, Any]) -> str:
    """Set `values` in the row of `[[array]]` whose `key` is `name`; None removes a value.

    Raises:
        ValueError: there is no such row, or the text would not say what was asked for.
    """
    before = tomllib.loads(text)
    number = next((n for n, row in enumerate(before.get(array, ())) if row.get(key) == name), None)
    if number is None:
        raise ValueError(f"no row of {array} with {key} = {name!r}")
    lines = text.splitlines(keepends=True)
    start, end = _block(lines, array, number)
    for column, value in values.items():
        first, last = _entry(lines, start, end, column)
        written = [] if value is None else [f"{column} = {_written(value)}{_comment(lines[first:last])}\n"]
        lines[first:last] = written
        end += len(written) - (last - first)
    made = "".join(lines)
    wanted = {**before[array][number], **values}
    _require(
        made, array, number, {name: value for name, value in wanted.items() if value is not None}, before
    )
    return made


def add_row(text: str, array: str, values: Mapping[str, Any], *, after: int) -> str:
    """Add a row to `[[array]]` behind the one with that number; the file's last when it has no more.

    Raises:
        ValueError: the text would not say what was asked for.
    """
    before = tomllib.loads(text)
    lines = text.splitlines(keepends=True)
    _, end = _block(lines, array, after)
    row = [f"{column} = {_written(value)}\n" for column, value in values.items()]
    lines[end:end] = ["\n", f"[[{array}]]\n", *row]
    made = "".join(lines)
    rows = [*before[array][: after + 1], dict(values), *before[array][after + 1 :]]
    if tomllib.loads(made) != {**before, array: rows}:
        raise ValueError(f"a row of {array} cannot be added")
    return made


def _block(lines: Sequence[str], array: str, number: int) -> tuple[int, int]:
    """The lines of a row: behind its header, up to the blank lines and comments before the next one."""
    headers = [n for n, line in enumerate(lines) if line.split("#")[0].strip() == f"[[{array}]]"]
    start = headers[number] + 1
    end = next(
        (n for n in range(start, len(lines)) if _HEADER.match(lines[n]) and _is_header(lines[n])), len(lines)
    )
    while end > start and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return start, end


def _is_header(line: str) -> bool:
    """A table's header stands alone on its line; an array's item does not begin a table."""
    return re.fullmatch(r"\s*\[\[?[\w.\"-]+\]\]?\s*(#.*)?\n?", line) is not None


def _entry(lines: Sequence[str], start: int, end: int, column: str) -> tuple[int, int]:
    """The lines of a value; where it is missing, the place before `why`, else the end."""
    place = end
    for number in range(start, end):
        found = _KEY.match(lines[number])
        if found is None:
            continue
        if found["key"] == column:
            last = number + 1
            while last <= end and not _is_whole("".join(lines[number:last])):
                last += 1
            return number, last
        if found["key"] == "why":
            place = min(place, number)
    return place, place


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _comment(lines: Sequence[str]) -> str:
    """The comment at the end of a value on one line."""
    if len(lines) != 1:
        return ""
    text = lines[0].rstrip("\n")
    for at in (n for n, char in enumerate(text) if char == "#"):
        if _is_whole(text[:at]):
            return "  " + text[at:]
    return ""


def _written(value: Any) -> str:
    """A value as TOML; JSON's strings, numbers, lists and truth values are written the same. A long list has a line for each item."""
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and len(text) > _LONG_LIST:
        return "[\n" + "".join(f"    {_written(each)},\n" for each in value) + "]"
    return text


def _require(
    made: str, array: str, number: int, wanted: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    rows = list(before[array])
    rows[number] = dict(wanted)
    if tomllib.loads(made) != {**before, array: rows}:
        raise ValueError(f"row {number} of {array} cannot be edited")
