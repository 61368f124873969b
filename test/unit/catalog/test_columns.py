"""What a column takes, and what is said about a value that it does not take."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from ci.catalog.columns import (
    Count,
    Day,
    Minutes,
    NotNegative,
    OneOrMore,
    Positive,
    Regex,
    Slug,
    Text,
    Texts,
    Url,
    VariableName,
    Whole,
    key,
    regex_with,
    within,
)
from ci.system.codec import DecodeError, decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    text: Text = "x"
    regex: Regex = "x"
    pattern: Annotated[str, regex_with("tag", "day")] = ""
    slug: Slug = "x"
    url: Url = "https://x"
    day: Day = "2026-05-29"
    variable: VariableName = "X"
    count: Count = 1
    whole: Whole = 0
    positive: Positive = 1
    share: NotNegative = 0
    limit_s: Minutes = 60
    texts: Texts = ("x",)
    hardware: OneOrMore = ("x",)
    percent: Annotated[int, within(1, 100)] = 1
    kind: Annotated[str, key("type")] = ""


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("text", "a b", "a b"),
        ("regex", r"a+", r"a+"),
        ("pattern", "(?P<day>x)(?P<tag>y)", "(?P<day>x)(?P<tag>y)"),
        ("slug", "stage-b.1", "stage-b.1"),
        ("count", 1, 1),
        ("whole", 0, 0),
        ("positive", 0.5, 0.5),
        ("positive", 2.0, 2),
        ("share", 0, 0),
        ("texts", ["a", "b"], ("a", "b")),
        ("hardware", "a", ("a",)),
        ("hardware", ["a", "b"], ("a", "b")),
        ("percent", 100, 100),
    ],
)
def test_what_fits_is_taken(name: str, value: Any, taken: object) -> None:
    found = getattr(decode(Row, {name: value}), name)
    assert (found, type(found)) == (taken, type(taken))


def test_a_column_may_have_another_name_and_another_unit_in_the_file() -> None:
    row = decode(Row, {"timeout_min": 1.5, "type": "x"})
    assert (row.limit_s, row.kind) == (90, "x")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("text", " ", "is empty"),
        ("regex", "(", "is not a regular expression"),
        ("pattern", "(?P<day>x)", "has no group tag (write (?P<tag>...))"),
        ("pattern", "x", "has no group tag, day"),
        ("slug", "Stage B", "invalid value 'Stage B'"),
        ("slug", "", "is empty"),
        ("url", "http://x", "invalid value 'http://x'"),
        ("day", "29.5.2026", "invalid value"),
        ("variable", "HF-TOKEN", "invalid value 'HF-TOKEN'"),
        ("count", 0, "must be at least 1"),
        ("whole", -1, "must be at least 0"),
        ("positive", 0, "must be above 0"),
        ("share", -0.5, "must be at least 0"),
        ("texts", [], "empty"),
        ("texts", "a", "not a list"),
        ("hardware", 3, "not a list"),
        ("percent", 101, "must be at most 100"),
        ("percent", 0, "must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(name: str, value: Any, says: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Row, {name: value})
    assert says in str(caught.value)
