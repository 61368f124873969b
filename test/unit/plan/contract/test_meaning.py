"""Texts of a variable that are the same to what reads it."""

import pytest

from ci.plan.contract.meaning import same_meaning
from ci.plan.contract.sglang import Declared, How, Reader, VariableFact


def fact(*readers: Reader, parsed: dict[str, str] | None = None) -> VariableFact:
    declared = None
    if parsed is not None:
        declared = Declared(place="environ.py:1", type="EnvBool", default="False", parsed=parsed)
    return VariableFact(name="X", declared=declared, readers=readers, mentions=())


def reader(how: How, *yes: str, folded: bool = False) -> Reader:
    return Reader(place="a.py:1", how=how, code="", yes=yes, folded=folded)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("a", "a", True),
        ("0", "false", True),
        ("FALSE", "no", True),
        ("1", "true", True),
        ("1", "0", False),
        ("true", "false", False),
        ("1", "01", False),
        ("triton", "true", False),
    ],
)
def test_without_a_tree_words_for_yes_and_no_are_the_same(one: str, two: str, *, same: bool) -> None:
    assert same_meaning(one, two, None) is same
    assert same_meaning(two, one, fact()) is same


def test_a_declared_variable_is_what_its_own_code_makes_of_it() -> None:
    of_tree = fact(reader(How.FIELD), parsed={"0": "False", "no": "False", "on": "True"})
    assert same_meaning("0", "no", of_tree)
    assert not same_meaning("0", "on", of_tree)
    assert not same_meaning("0", "unknown", of_tree)


@pytest.mark.parametrize(
    ("readers", "one", "two", "same"),
    [
        ((reader(How.BOOL, "1", "true", folded=True),), "True", "1", True),
        ((reader(How.BOOL, "1"),), "true", "1", False),
        ((reader(How.BOOL, "1"),), "true", "0", True),
        ((reader(How.COMPARED, "0"),), "false", "0", False),
        ((reader(How.INT),), "08", "8", True),
        ((reader(How.INT),), "0", "false", False),
        ((reader(How.TRUTH),), "0", "1", True),
        ((reader(How.TRUTH),), "", "1", False),
        ((reader(How.PRESENCE),), "0", "1", True),
        ((reader(How.TEXT),), "0", "false", False),
        ((reader(How.BOOL, "1", "true"), reader(How.TEXT)), "1", "true", False),
    ],
)
def test_each_reader_has_its_own_rule(readers: tuple[Reader, ...], one: str, two: str, *, same: bool) -> None:
    assert same_meaning(one, two, fact(*readers)) is same
