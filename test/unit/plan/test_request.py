"""The texts of options as values; what is invalid is added to the problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.executors import ExecutorKind
from ci.errors import Problem
from ci.plan.request import (
    SELECTING,
    Request,
    parse_env,
    parse_executor,
    parse_jobs,
    parse_shard,
    split_pytest_args,
    without,
)
from ci.plan.shards import Shard


@given(st.integers(1, 999), st.integers(1, 999))
def test_a_shard_is_counted_from_one(index: int, count: int) -> None:
    problems: list[Problem] = []
    shard = parse_shard(f"{index}/{count}", problems)
    assert (shard == Shard(index=index, count=count)) == (index <= count)
    assert bool(problems) == (index > count)


@given(st.text(st.characters(exclude_characters="\0")))
def test_an_env_value_may_hold_anything_but_nul(value: str) -> None:
    problems: list[Problem] = []
    assert parse_env([f"SGLANG_X={value}"], problems) == (("SGLANG_X", value),)
    assert problems == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0/3", "'0/3' is outside 1/3 to 3/3"),
        ("4/3", "'4/3' is outside 1/3"),
        ("1/0", "1/1 to 1/1"),
        ("3", "not a shard"),
    ],
)
def test_a_shard_that_cannot_be_says_which_can(text: str, says: str) -> None:
    problems: list[Problem] = []
    assert parse_shard(text, problems) is None
    (problem,) = problems
    assert problem.where == "--shard"
    assert says in problem.what


def test_variables_keep_their_order_and_every_bad_one_is_named() -> None:
    problems: list[Problem] = []
    assert parse_env(["B=1=2", "A=", "B=3", "x", "_C1=\n"], problems) == (
        ("B", "1=2"),
        ("A", ""),
        ("_C1", "\n"),
    )
    assert [problem.what.partition(" is ")[0] for problem in problems] == ["B", "'x'"]


def test_an_executor_by_its_name() -> None:
    problems: list[Problem] = []
    assert parse_executor("auto", problems) is None
    assert parse_executor("host", problems) is ExecutorKind.HOST
    assert problems == []
    assert parse_executor("hots", problems) is None
    assert "host" in problems[0].hint


@pytest.mark.parametrize(
    ("text", "valid"),
    [("", True), ("1", True), ("9999", True), ("gpus", True), ("0", False), ("10000", False)],
)
def test_how_many_tests_run_at_a_time(text: str, *, valid: bool) -> None:
    problems: list[Problem] = []
    assert parse_jobs(text, problems) == (text if valid else "")
    assert bool(problems) is not valid


def test_only_the_first_dashes_separate_pytests_arguments() -> None:
    assert split_pytest_args(["--json"]) == (("--json",), ())
    assert split_pytest_args(["a", "--", "b", "--", "c"]) == (("a",), ("b", "--", "c"))
    assert split_pytest_args(["--"]) == ((), ())


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("--jobs 2 --suite x --fail-fast", "--jobs 2 --fail-fast"),
        ("--suite=x --jobs 2", "--jobs 2"),
        ("--failed --jobs 2", "--jobs 2"),
        ("--last-failed --jobs 2", "--jobs 2"),
        ("--last-failed RUN --jobs 2", "--jobs 2"),
        ("--jobs 2 --suite", "--jobs 2"),
        ("--json --test a --test b --json", "--json --json"),
    ],
)
def test_options_are_left_out_with_their_values(words: str, kept: str) -> None:
    assert " ".join(without(words.split(), SELECTING)) == kept


def test_tests_are_named_by_file_or_by_an_earlier_run() -> None:
    assert not Request(stage="s", suites=("x",)).names_tests
    assert Request(stage="s", tests=("a.py",)).names_tests
    assert Request(stage="s", failed=(("x", "a.py"),)).names_tests
