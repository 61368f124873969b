"""What the AST says of a test's metrics, capabilities and cases."""

import ast

import pytest

from ci.catalog.registrations.test_requirements import (
    Requirements,
    case_names,
    has_case,
    mentions_requirements,
    read_requirements,
)

IMPORT = "from harness.bounds import check, check_all\n"


def requirements(text: str) -> Requirements:
    return read_requirements(ast.parse(text))


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        (IMPORT + 'check("a", 1)\ncheck_all({"b": 2, "c": 3})', ("a", "b", "c")),
        (
            IMPORT + 'def test_x():\n    for n in range(2):\n        check("a", n)\n        check("a", n)',
            ("a",),
        ),
        ('from harness.bounds import check as judge\njudge("a", 1)', ("a",)),
        ('from harness import bounds\nbounds.check_all({"a": 1})', ("a",)),
        ('from harness import bounds as b\nb.check("a", 1)', ("a",)),
        ('def check(name, value):\n    pass\ncheck("not ours", 1)', ()),
        ('from elsewhere import check\ncheck("not ours", 1)', ()),
    ],
)
def test_metrics_are_the_literal_names_that_the_harness_is_given(text: str, metrics: tuple[str, ...]) -> None:
    found = requirements(text)
    assert found.metrics == metrics
    assert found.faults == ()


@pytest.mark.parametrize(
    "call",
    [
        "check(f'bs{n}', 1)",
        "check(name, 1)",
        "check_all(values)",
        "check_all({**values, 'a': 1})",
        "check_all({n: 1})",
    ],
)
def test_computed_names_have_to_be_declared(call: str) -> None:
    ((line, what, hint),) = requirements(IMPORT + call).faults
    assert line == 2
    assert "are computed" in what
    assert "METRICS" in hint
    declared = requirements(IMPORT + 'METRICS = ("bs1", "bs4")\n' + call)
    assert declared.declared == ("bs1", "bs4")
    assert declared.faults == ()


def test_declared_and_literal_names_are_kept_apart_and_counted_once() -> None:
    found = requirements(IMPORT + 'METRICS: tuple[str, ...] = ("a", "b")\ncheck("a", 1)')
    assert (found.metrics, found.declared, found.every_metric) == (("a",), ("a", "b"), ("a", "b"))


@pytest.mark.parametrize("value", ["names()", '("a", 1)', '("a", *others)', '"a"', "None"])
def test_a_declaration_that_is_not_a_literal_tuple_is_a_fault(value: str) -> None:
    ((line, what, _),) = requirements(f"x = 1\nMETRICS = {value}").faults
    assert line == 2
    assert "METRICS is not a tuple of literal strings" in what


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ('launch(ServerSpec(model="m", asks=("a", "b")))', ("a", "b")),
        ('with launch(ServerSpec(asks=["a"])) as server:\n    pass', ("a",)),
        ('WANTED = ("a",)\nServerSpec(asks=WANTED)', ("a",)),
        ('ASKS = ("a",)\nshared.server_spec("m")', ("a",)),
        ('ASKS = ("a",)\nServerSpec(asks=computed())', ("a",)),
        ('ServerSpec(requires=("a",), asks=("b", "a"))', ("a", "b")),
        ('REQUIRES = ("a",)\nServerSpec(requires=computed())', ("a",)),
        ("ServerSpec()", ()),
    ],
)
def test_capabilities_are_the_literals_of_asks(text: str, asks: tuple[str, ...]) -> None:
    found = requirements(text)
    assert found.asks == asks
    assert found.faults == ()


def test_a_computed_requires_is_a_fault_that_names_the_way_out() -> None:
    ((line, what, hint),) = requirements('ASKS = ("a",)\nServerSpec(requires=computed())').faults
    assert (line, what) == (2, "requires= is not a tuple of literal strings")
    assert "REQUIRES" in hint


def test_a_computed_asks_is_a_fault_that_names_the_way_out() -> None:
    ((line, what, hint),) = requirements("ServerSpec(asks=computed())").faults
    assert (line, what) == (1, "asks= is not a tuple of literal strings")
    assert "ASKS" in hint


def test_files_that_can_ask_for_nothing_are_not_walked() -> None:
    assert not mentions_requirements(b"import unittest\n\nself.check('x')\n")
    assert mentions_requirements(b"from harness.bounds import check\n")
    assert mentions_requirements(b"METRICS = ()\n")


CASES = case_names(
    ast.parse(
        "def test_a(): ...\n"
        "async def test_b(): ...\n"
        "def helper(): ...\n"
        "class TestPlain:\n    def test_c(self): ...\n    def helper(self): ...\n"
        "class TestMixed(Mixin):\n    def test_d(self): ...\n"
    )
)


@pytest.mark.parametrize(
    "case",
    [
        "test_a",
        "test_a[1-x]",
        "test_b",
        "TestPlain",
        "TestPlain::test_c",
        "TestMixed::test_d[2::3]",
        "TestMixed::test_inherited",
    ],
)
def test_a_case_of_the_file_is_found_without_its_parameters(case: str) -> None:
    assert has_case(CASES, case)


@pytest.mark.parametrize(
    "case", ["test_z", "helper", "TestPlain::test_z", "TestOther::test_c", "test_a::test_c", ""]
)
def test_a_case_that_the_file_does_not_have_is_not(case: str) -> None:
    assert not has_case(CASES, case)


def test_cases_are_named_as_in_node_ids_and_in_the_files_order() -> None:
    assert (
        *("test_a", "test_b", "TestPlain", "TestPlain::test_c"),
        *("TestMixed", "TestMixed::test_d", "TestMixed::*"),
    ) == CASES


MEASURING = (
    IMPORT
    + """
from harness.suites.shared import measure
METRICS = ("bs1_latency", "bs4_latency")
def helper(value): check("deep", value)
@pytest.fixture
def measured(): check("of_fixture", 1)
def test_plain(): check("plain", 1)
def test_deep(): helper(1)
def test_fixture(measured): pass
def test_computed():
    for size in (1, 4): check(f"bs{size}_latency", 1)
def test_none(): pass
class TestA:
    def through(self): check("of_method", 1)
    def test_a(self): self.through()
def test_shared(): measure()
"""
)


@pytest.mark.parametrize(
    ("metric", "cases"),
    [
        ("plain", ("test_plain",)),
        ("deep", ("test_deep",)),
        ("of_fixture", ("test_fixture",)),
        ("bs4_latency", ("test_computed",)),
        ("of_method", ("TestA::test_a",)),
        ("shared", ("test_shared",)),
        ("unknown", ()),
    ],
)
def test_a_metric_is_measured_by_the_cases_that_reach_its_check(metric: str, cases: tuple[str, ...]) -> None:
    shared = requirements(IMPORT + 'def measure(): check("shared", 1)\n')
    assert requirements(MEASURING).with_those_of(shared, "shared.py").measured_by(metric) == cases


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.xfail\ndef test_a(): pass\n",
        "@pytest.mark.xfail(strict=True, reason='x')\ndef test_a(): pass\n",
        "pytestmark = pytest.mark.xfail\n",
        "VALUES = [pytest.param(1, marks=pytest.mark.xfail)]\n",
        "def test_a(): pytest.xfail('known')\n",
        "from pytest import mark\n@mark.xfail\ndef test_a(): pass\n",
        "from pytest import xfail as known\ndef test_a(): known('x')\n",
        "@unittest.expectedFailure\ndef test_a(): pass\n",
        "from unittest import expectedFailure as known\n@known\ndef test_a(): pass\n",
        "def test_a(request): request.node.add_marker('xfail')\n",
        "MARK = getattr(pytest.mark, 'xfail')\n",
    ],
)
def test_an_expected_failure_is_a_fault_that_asks_for_a_quarantine_row(text: str) -> None:
    found = requirements("import pytest, unittest\n" + text).faults
    assert found
    assert "expects a failure, with no date" in found[0][1]
    assert "quarantine.toml" in found[0][2]
    assert mentions_requirements(text.encode())
