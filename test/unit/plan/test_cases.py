"""A case that a file cannot hold is refused before the run, with the nearest names."""

import ast
from dataclasses import replace

import pytest

from ci.catalog.registrations.test_requirements import case_names, has_case
from ci.errors import UsageError
from support.planning import catalog, discovery, facts, planned, registration, request

FILE = "test/registered/amd/test_score.py"
SOURCE = """
from elsewhere import TestShared, test_function, helper
def test_plain(): pass
class TestA:
    def test_a(self): pass
if True:
    def test_behind_a_condition(): pass
try:
    import torch
except ImportError:
    pass
else:
    class TestB:
        def test_b(self): pass
@decorated
class TestMade: pass
"""


def plan_of(*nodes: str, kind: str = "pytest") -> None:
    found = discovery([registration(FILE)])
    found = replace(found, cases={FILE: case_names(ast.parse(SOURCE))}, kinds={FILE: kind})  # type: ignore[dict-item]
    planned(catalog(), facts([registration(FILE)], tests=found), request(tests=nodes))


@pytest.mark.parametrize(
    "case",
    [
        "test_plain",
        "test_plain[2-x]",
        "TestA",
        "TestA::test_a",
        "test_behind_a_condition",
        "TestB::test_b",
        "TestShared::test_anything",
        "test_function",
        "TestMade::test_made",
    ],
)
def test_a_case_that_the_file_may_hold_is_planned(case: str) -> None:
    plan_of(f"{FILE}::{case}")


@pytest.mark.parametrize(
    ("case", "near"),
    [("test_plian", "'test_plain'"), ("TestA::test_b", "'TestA::test_a'"), ("helper", "known: ")],
)
def test_another_is_refused_with_the_nearest_names(case: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_of(f"{FILE}::{case}")
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("--test", f"{FILE} has no case {case!r}")
    assert near in problem.hint


def test_a_program_has_no_cases() -> None:
    with pytest.raises(UsageError) as caught:
        plan_of(f"{FILE}::test_plain", kind="script")
    assert "is run as a program" in caught.value.problems[0].what


def test_an_import_of_all_may_bring_any() -> None:
    assert has_case(case_names(ast.parse("from base import *\n")), "TestX::test_y")
