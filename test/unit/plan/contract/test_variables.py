"""Variables against what an SGLang reads."""

import pytest

from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.versions import release_of
from ci.plan.contract.sglang import Declared, How, Reader, VariableFact
from ci.plan.contract.variables import VariableRow, VariableStatus, judge_variables
from support.sglang_facts import variable

NAME = "SGLANG_FAST"
FIELD = Reader(place="a.py:1", how=How.FIELD, code="envs.SGLANG_FAST.get()")
ONE = Reader(place="b.py:2", how=How.COMPARED, code="getenv() == '1'", yes=("1",))
TRUE = Reader(place="c.py:3", how=How.COMPARED, code="getenv() == 'true'", yes=("true",), folded=True)
HELPER = Reader(
    place="d.py:4", how=How.BOOL, code="get_bool()", yes=("true", "1"), no=("false", "0"), folded=True
)
NOT_OFF = Reader(place="e.py:5", how=How.COMPARED, code="getenv() != '0'", yes=("0",))
NOT_ONE = Reader(place="j.py:1", how=How.COMPARED, code="getenv() != '1'", yes=("1",))
MIXED = Reader(place="k.py:1", how=How.COMPARED, code="getenv() in ('0', '1')", yes=("0", "1"))
TRUTH = Reader(place="f.py:6", how=How.TRUTH, code="bool(getenv())")
NUMBER = Reader(place="g.py:7", how=How.INT, code="int(getenv())")
TEXT = Reader(place="h.py:8", how=How.TEXT, code="getenv()")
MODE = Reader(place="i.py:9", how=How.COMPARED, code="getenv() == 'triton'", yes=("triton",))


def judged(value: str, fact: VariableFact, *, versions: str = "", version: str = "1.2") -> VariableRow:
    row = EnvVariable(name=fact.name, value=value, why="test", versions=versions, place="envs/x.toml:2")
    (found,) = judge_variables(
        [EnvSet(id="x.SET", variables=(row,))],
        {fact.name: fact},
        release=release_of(version),
        title=f"SGLang {version}",
        names=["SGLANG_FASTER"],
    )
    return found


@pytest.mark.parametrize(
    ("value", "reader", "becomes"),
    [
        ("true", ONE, "False"),
        ("1", TRUE, "False"),
        ("on", HELPER, "False"),
        ("off", NOT_OFF, "True"),
        ("true", NOT_ONE, "False"),
        ("0", TRUTH, "True, as every text does"),
        ("false", NUMBER, "an error: not a number"),
    ],
)
def test_a_value_that_is_read_as_something_else_is_an_error_with_what_it_becomes(
    value: str, reader: Reader, becomes: str
) -> None:
    (problem,) = judged(value, variable(NAME, reader)).problems
    assert str(problem) == (
        f"envs/x.toml:2: x.SET.{NAME}: {value!r} becomes {becomes} ({reader.code} at {reader.place})"
    )


@pytest.mark.parametrize(
    ("value", "reader"),
    [
        ("1", ONE),
        ("0", ONE),
        ("TRUE", TRUE),
        ("false", HELPER),
        ("1", NOT_OFF),
        ("0", NOT_OFF),
        ("1", NOT_ONE),
        ("0", NOT_ONE),
        ("true", MIXED),
        ("1", TRUTH),
        ("7", NUMBER),
        ("off", TEXT),
        ("tilelang", MODE),
        ("0", MODE),
    ],
)
def test_a_value_that_is_read_as_it_looks_is_no_problem(value: str, reader: Reader) -> None:
    row = judged(value, variable(NAME, reader))
    assert (row.status, row.problems, row.findings) == (VariableStatus.READ, (), ())


def test_what_the_declaration_refuses_is_an_error_with_its_default() -> None:
    declared = Declared(
        place="environ.py:9",
        type="EnvBool",
        default="True",
        parsed={"on": "True"},
        invalid={"on": "neither true nor false"},
    )
    (problem,) = judged("on", variable(NAME, FIELD, declared=declared)).problems
    assert problem.what == "'on' becomes True: neither true nor false"
    assert problem.hint == "EnvBool at environ.py:9"


def test_readers_that_do_not_agree_are_a_finding_about_the_tree_with_a_word_that_fits_all() -> None:
    row = judged("1", variable(NAME, HELPER, TRUE))
    assert row.problems == ()
    (finding,) = row.findings
    assert "'1' becomes False" in finding.what
    assert "all of them read 'true' alike" in finding.what
    assert "c.py:3" in finding.hint


def test_a_variable_that_nothing_reads_is_an_error_with_the_nearest_name() -> None:
    row = judged("1", variable(NAME))
    assert row.status is VariableStatus.UNREAD
    (problem,) = row.problems
    assert problem.what == "nothing in SGLang 1.2 reads it"
    assert "did you mean 'SGLANG_FASTER'?" in problem.hint
    assert "versions = " in problem.hint


def test_a_declaration_that_nothing_reads_is_named() -> None:
    declared = Declared(place="environ.py:9", type="EnvBool", default="True")
    (problem,) = judged("1", variable(NAME, declared=declared)).problems
    assert "declared at environ.py:9, and that is all" in problem.hint


@pytest.mark.parametrize(
    ("version", "readers", "status", "notes"),
    [
        ("1.2", (), VariableStatus.OTHER_VERSIONS, 0),
        ("1.2", (TEXT,), VariableStatus.OTHER_VERSIONS, 1),
        ("1.1", (), VariableStatus.UNREAD, 0),
        ("1.1", (TEXT,), VariableStatus.READ, 0),
        ("1.2.dev3", (), VariableStatus.OTHER_VERSIONS, 1),
        ("1.2.dev3", (TEXT,), VariableStatus.READ, 0),
    ],
)
def test_a_row_is_judged_by_the_releases_that_it_is_for(
    version: str, readers: tuple[Reader, ...], status: VariableStatus, notes: int
) -> None:
    row = judged("x", variable(NAME, *readers), versions="<1.2", version=version)
    assert (row.status, len(row.notes)) == (status, notes)
    assert bool(row.problems) is (status is VariableStatus.UNREAD)


def test_another_project_s_variable_is_listed_with_who_reads_it_and_no_error() -> None:
    row = judged("x", variable("NCCL_DEBUG", NUMBER))
    assert row.status is VariableStatus.NOT_SGLANGS
    assert (row.readers, row.problems) == ((NUMBER,), ())
    assert judged("x", variable("AITER_X")).problems == ()


def test_an_alias_has_a_note_with_the_new_name() -> None:
    declared = Declared(place="environ.py:9", type="EnvBool", default="True", renamed="SGLANG_NEW")
    row = judged("1", variable(NAME, declared=declared))
    (note,) = row.notes
    assert "calls it SGLANG_NEW" in note
    assert row.problems == ()
