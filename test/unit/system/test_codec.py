"""Values of JSON as typed values and back, and the messages about invalid ones."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ci.system.codec import DecodeError, canonical, decode, encode


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    text: str
    number: float
    whole: int
    yes: bool
    colour: Colour
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    named: Mapping[str, Leaf]
    sizes: Mapping[str, int | float | tuple[int, ...]]
    below: "Tree | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranged:
    count: Annotated[int, Field(ge=1, lt=8)]


PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# of two surrogates that make a character, JSON keeps the character
text = st.text(st.characters(exclude_categories=()), max_size=5).filter(lambda text: not PAIR.search(text))
leaves = st.builds(
    Leaf,
    text=text,
    number=st.floats(allow_nan=False, allow_infinity=False),
    whole=st.integers(-(2**70), 2**70),
    yes=st.booleans(),
    colour=st.sampled_from(Colour),
    kind=st.sampled_from(["a", "b"]),
)
trees = st.recursive(
    st.builds(
        Tree,
        leaves=st.lists(leaves, max_size=2).map(tuple),
        named=st.dictionaries(text, leaves, max_size=2),
        sizes=st.dictionaries(text, st.integers(0, 9) | st.tuples(st.integers(0, 9)), max_size=2),
    ),
    lambda inner: st.builds(
        Tree, leaves=st.just(()), named=st.just({}), sizes=st.just({}), below=st.none() | inner
    ),
    max_leaves=3,
)


@given(trees)
def test_a_value_survives_the_way_through_json(tree: Tree) -> None:
    assert decode(Tree, json.loads(json.dumps(encode(tree)))) == tree


def test_lone_surrogates_survive_and_pairs_become_their_character() -> None:
    def back(value: str) -> Leaf:
        leaf = Leaf(text=value, number=1, whole=1, yes=True, colour=Colour.RED)
        return decode(Leaf, json.loads(json.dumps(encode(leaf))))

    for lone in ("\ud83d", "a\udcffb", "\ude00\ud83d"):
        assert back(lone).text == lone
    assert back("\ud83d\ude00!").text == "\N{GRINNING FACE}!"
    assert canonical({"\ud83d\ude00": "\ud83d\ude00"}) == canonical(
        {"\N{GRINNING FACE}": "\N{GRINNING FACE}"}
    )


def test_one_value_has_one_spelling() -> None:
    assert canonical({"b": 1.0, "a": (1, "ü")}) == '{"a":[1,"ü"],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"x": math.nan})


def test_whole_numbers_have_no_fraction() -> None:
    assert json.dumps(encode({"x": 1200.0, "y": (0.5, math.tau)})) == f'{{"x": 1200, "y": [0.5, {math.tau}]}}'


GOOD = {"text": "a", "number": 1, "whole": 1, "yes": True, "colour": "red"}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"text": 1}, "text: is 1, not a string"),
        ({"number": "1"}, "number: is '1', not a number"),
        ({"number": True}, "number: is true, not a number"),
        ({"number": math.inf}, "number: is inf, not a finite number"),
        ({"whole": 1.5}, "whole: is 1.5, not a whole number"),
        ({"yes": 1}, "yes: is 1, not true or false"),
        ({"colour": "reed"}, "colour: unknown value 'reed' (expected 'red' or 'blue')"),
        ({"kind": "c"}, "kind: unknown value 'c' (expected 'a' or 'b')"),
        ({"more": 1}, "more: unknown key"),
        ({"colour": "r\ud800"}, "colour: is 'r\\ud800', not valid Unicode"),
        ({"r\ud800": 1}, "is 'r\\ud800', not valid Unicode"),
    ],
)
def test_what_does_not_fit_is_reported_in_plain_words(wrong: dict[str, object], expected: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Leaf, GOOD | wrong)
    assert str(caught.value) == expected


def test_everything_is_reported_at_once_and_where() -> None:
    value = {"leaves": [GOOD, GOOD | {"text": None}], "named": {"x": {}}, "below": 4}
    with pytest.raises(DecodeError) as caught:
        decode(Tree, value)
    expected = {wrong.dotted: wrong.what for wrong in caught.value.wrong}
    assert expected["leaves[1].text"] == "is null, not a string"
    assert expected["named.x.text"] == "is missing"
    assert expected["sizes"] == "is missing"
    assert expected["below"] == "is 4, not a table"


def test_keys_of_another_version_can_be_left_out() -> None:
    assert decode(Leaf, GOOD | {"more": 1}, unknown=True).text == "a"


def test_what_has_no_words_of_ours_has_those_of_the_library() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(frozenset, "x")
    assert str(caught.value) == "is 'x': Input should be a valid frozenset"


class TestMissing:
    @pytest.mark.parametrize(
        ("name", "form"),
        [("text", "a string"), ("number", "a number"), ("whole", "a whole number"), ("yes", "true or false")],
    )
    def test_a_missing_key_says_what_it_holds(self, name: str, form: str) -> None:
        with pytest.raises(DecodeError) as caught:
            decode(Leaf, {key: value for key, value in GOOD.items() if key != name})
        (wrong,) = caught.value.wrong
        assert (wrong.dotted, wrong.what, wrong.hint) == (name, "is missing", form)

    def test_a_missing_day_is_shown_with_an_example(self) -> None:
        with pytest.raises(DecodeError) as caught:
            decode(Dated, {})
        assert caught.value.wrong[0].hint.startswith("a date, e.g. 2")

    def test_inside_another_value_only_the_key_is_named(self) -> None:
        with pytest.raises(DecodeError) as caught:
            decode(Tree, {"leaves": [{}], "named": {}, "sizes": {}})
        assert {wrong.hint for wrong in caught.value.wrong} == {""}


def test_a_value_outside_its_range_says_the_range() -> None:
    for value, hint in ((0, "must be at least 1"), (8, "must be below 8")):
        with pytest.raises(DecodeError) as caught:
            decode(Ranged, {"count": value})
        (wrong,) = caught.value.wrong
        assert (wrong.what, wrong.hint) == (f"is {value}", hint)
    assert decode(Ranged, {"count": 7}).count == 7


def test_an_unknown_key_and_an_unknown_value_come_with_the_known_ones() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Leaf, GOOD | {"colour": "reed", "kid": 1})
    found = {wrong.name: wrong.known for wrong in caught.value.wrong}
    assert found["reed"] == ("red", "blue")
    assert "kind" in found["kid"]


def test_a_long_value_is_cut() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Leaf, GOOD | {"number": "x" * 5000})
    assert len(str(caught.value)) < 300
    assert "..." in str(caught.value)
