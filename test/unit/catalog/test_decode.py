"""Rows decoded: everything that is wrong with a file is reported at once, each with its line and a hint."""

from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from ci.catalog.columns import (
    Count,
    Day,
    Minutes,
    NotNegative,
    OneOrMore,
    Positive,
    Regex,
    Row,
    Sourced,
    Text,
    Texts,
    Url,
    key,
    matching,
    regex_with,
    within,
)
from ci.catalog.decode import Reader, RowFile


class Colour(StrEnum):
    VIOLET = "violet"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Sourced):
    PROVIDES: ClassVar[tuple[str, ...]] = ("kind",)

    id: Text
    kind: Text = ""
    count: Count = 1
    share: NotNegative = 0
    size: Positive = 1
    level: Annotated[int, within(1, 3)] = 1
    timeout_s: Minutes = 60
    on: bool = False
    cls: Annotated[Text, key("class")] = ""
    colour: Colour = Colour.VIOLET
    day: Day = "2026-01-01"
    until: date = date.min
    url: Url = ""
    pattern: Regex = ""
    grouped: Annotated[Text, regex_with("a", "b")] = ""
    code: Annotated[str, matching(r"[A-Z]+", "upper case letters, e.g. ABC")] = "X"
    names: OneOrMore = ("x",)
    commands: tuple[Texts, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(Row):
    KEY: ClassVar[str] = "thing"
    REPEATS: ClassVar[bool] = True

    thing: Text
    kinds: tuple[Text, ...] = ()


GOOD = '[[thing]]\nid = "good"\nwhy = "w"\nsource = "s"\n'


def opened(folder: Path, text: str) -> tuple[Reader, RowFile]:
    (folder / "things.toml").write_text(text)
    reader = Reader(folder)
    return reader, reader.open("things.toml", "thing", "use")


def reported(reader: Reader) -> list[str]:
    return [str(problem).partition("/")[2] for problem in reader.problems]


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    reader, file = opened(
        tmp_path,
        GOOD
        + 'count = 2\nshare = 0.5\nsize = 3\ntimeout_min = 1.5\non = true\nclass = "c"\ncolour = "green"\n'
        + 'day = "2026-05-29"\nuntil = 2026-05-30\nnames = "one"\ncommands = [["a", "b"]]\nenv = { A = "1" }\n',
    )
    (row,) = file.rows("thing", Thing)
    assert reader.problems == []
    assert (row.count, row.share, row.size, row.timeout_s, row.on) == (2, 0.5, 3, 90, True)
    assert (row.cls, row.colour, row.day, row.until) == ("c", Colour.GREEN, "2026-05-29", date(2026, 5, 30))
    assert (row.names, row.commands, row.env) == (("one",), (("a", "b"),), {"A": "1"})
    assert reader.has(row, "count")
    assert not reader.has(row, "level")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("count = true", "count: is true, not a whole number"),
        ("count = 1.0", "count: is 1.0, not a whole number"),
        ("count = 0", "count: is 0 (must be at least 1)"),
        ("size = 0", "size: is 0 (must be above 0)"),
        ("size = nan", "size: is nan, not a finite number"),
        ('size = "3"', "size: is '3', not a number"),
        ("level = 4", "level: is 4 (must be at most 3)"),
        ("timeout_min = -1", "timeout_min: is -1 (must be above 0)"),
        ('on = "yes"', "on: is 'yes', not true or false"),
        ("class = 5", "class: is 5, not a string"),
        ('class = " "', "class: is empty"),
        ('colour = "gren"', "colour: unknown value 'gren' (did you mean 'green'?)"),
        ('day = "2026-5-29"', "day: invalid value '2026-5-29' (a day, e.g. 2026-05-29)"),
        ('until = "20260529"', "until: is '20260529', not a date (e.g. 2026-05-29)"),
        ("until = 5", "until: is 5, not a date (e.g. 2026-05-29)"),
        ('url = "http://x"', "url: invalid value 'http://x' (a URL, e.g. https://"),
        ('pattern = "("', "pattern: is not a regular expression: missing )"),
        ('grouped = "(?P<a>.)"', "grouped: has no group b (write (?P<b>...))"),
        ('code = "abc"', "code: invalid value 'abc' (upper case letters, e.g. ABC)"),
        ("names = []", "names: is empty"),
        ("names = 5", "names: is 5, not a list"),
        ('commands = ["a"]', "commands[0]: is 'a', not a list"),
        ('commands = [\n["a"], [5]]', "commands[1][0]: is 5, not a string"),
        ("env = { A = 1 }", "env.A: is 1, not a string"),
        ("env.A = 1", "env.A: is 1, not a string"),
        ("cuont = 2", "cuont: unknown key (did you mean 'count'"),
        ('cls = "c"', "cls: unknown key (did you mean 'class'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(tmp_path: Path, line: str, found: str) -> None:
    reader, file = opened(tmp_path, GOOD + line)
    assert file.rows("thing", Thing) == ()
    (problem,) = reported(reader)
    number = 6 if "\n" in line else 5
    assert problem.startswith(f"things.toml:{number}: thing[good].{found}")


def test_hints_show_how_other_rows_have_it(tmp_path: Path) -> None:
    good = GOOD + 'class = "some"\n'
    reader, file = opened(tmp_path, f'[[thing]]\nid = "bad"\nclass = 5\nwhy = "w"\n\n{good}')
    file.rows("thing", Thing)
    assert set(reported(reader)) == {
        "things.toml:3: thing[bad].class: is 5, not a string (e.g. class = 'some')",
        "things.toml:1: thing[bad].source: is missing (a string, e.g. source = 's')",
    }


def test_names_that_appear_twice_say_where_first(tmp_path: Path) -> None:
    reader, file = opened(tmp_path, GOOD + GOOD)
    file.rows("thing", Thing)
    assert reported(reader) == ["things.toml:6: thing[good].id: 'good' appears twice (first in line 2)"]


def test_unknown_tables_and_what_is_not_an_array_are_named(tmp_path: Path) -> None:
    reader, file = opened(tmp_path, "thing = 1\n[[thng]]\n")
    assert file.rows("thing", Thing) == ()
    assert reported(reader) == [
        "things.toml:2: thng: unknown table (did you mean 'thing'?)",
        "things.toml:1: thing: must be an array of tables (write [[thing]])",
    ]
    assert not file.complete("thing")


def test_references_are_checked_in_every_row(tmp_path: Path) -> None:
    """Also in a row that has other faults; a name that a faulty row would provide is not unknown."""
    reader, file = opened(
        tmp_path,
        GOOD
        + '[[thing]]\nid = "faulty"\nkind = "rare"\nwhy = 5\nsource = "s"\n'
        + '[[use]]\nthing = "gold"\nkinds = ["rare", "common", "commn"]\n[[use]]\nthing = "faulty"\nx = 1\n',
    )
    things = {row.id for row in file.rows("thing", Thing)}
    file.rows("use", Use)
    file.refer("use", "thing", "thing", things)
    file.refer("use", "kinds", "kind", ["common"])
    assert reported(reader) == [
        "things.toml:8: thing[faulty].why: is 5, not a string (e.g. why = 'w')",
        "things.toml:15: use[faulty].x: unknown key (known: kinds, thing)",
        "things.toml:11: use[gold].thing: unknown thing 'gold' (did you mean 'good'?)",
        "things.toml:12: use[gold].kinds: unknown kind 'commn' (did you mean 'common'?)",
    ]


def test_references_into_a_file_that_cannot_be_read_are_not_judged(tmp_path: Path) -> None:
    reader, file = opened(tmp_path, '[[use]]\nthing = "x"\n')
    reader.open("gone.toml", "thing")
    file.rows("use", Use)
    file.refer("use", "thing", "thing", ())
    assert [problem.what for problem in reader.problems] == ["the file is missing"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["things.toml: thing: has 0 rows (write exactly one [[thing]])"]),
        (
            GOOD + GOOD.replace("good", "more"),
            ["things.toml:1: thing: has 2 rows (write exactly one [[thing]])"],
        ),
        (GOOD + "x = 1", ["things.toml:5: thing[good].x: unknown key (known: class, "]),
    ],
)
def test_one_row_is_one_row(tmp_path: Path, text: str, found: list[str]) -> None:
    reader, file = opened(tmp_path, text)
    row = file.row("thing", Thing)
    assert row.id == ("good" if text.count("good") and "x = 1" not in text else "")
    assert [problem[: len(part)] for problem, part in zip(reported(reader), found, strict=True)] == found


def test_a_problem_found_later_has_the_line_of_its_row(tmp_path: Path) -> None:
    reader, file = opened(tmp_path, "\n" + GOOD + 'kind = "k"\n')
    (row,) = file.rows("thing", Thing)
    reader.problem(row, "kind", "is odd", "choose another")
    reader.problem(row, "", "is odd as a whole")
    assert reported(reader) == [
        "things.toml:6: thing[good].kind: is odd (choose another)",
        "things.toml:2: thing[good]: is odd as a whole",
    ]
    assert reader.line(row).endswith("/things.toml:2")
    assert reader.where(row, "kind").endswith("/things.toml:6: thing[good].kind")


def test_a_row_that_was_made_elsewhere_has_a_name_and_no_line(tmp_path: Path) -> None:
    reader, file = opened(tmp_path, GOOD)
    (row,) = file.rows("thing", Thing)
    other = replace(row, id="other")
    assert reader.where(other, "kind").endswith("/things.toml: thing[other].kind")
    reader.remember_part(other, row)
    assert reader.where(other).endswith("/things.toml:1: thing[good]")
