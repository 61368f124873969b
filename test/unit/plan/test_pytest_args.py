"""Arguments for pytest that are refused by their name."""

import pytest

from ci.errors import Problem
from ci.plan.pytest_args import check_pytest_args


def problems(*arguments: str) -> list[Problem]:
    found: list[Problem] = []
    check_pytest_args(arguments, found)
    return found


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--collect-only", "--list"),
        ("--co", "--list"),
        ("-h", "--list"),
        ("-n", "--jobs N"),
        ("-n4", "--jobs N"),
        ("--dist=loadfile", "--jobs N"),
        ("--pdb", "leave it out"),
        ("--lf", "--last-failed"),
        ("--rootdir=/tmp", "leave it out"),
        ("--reruns=2", "ci/catalog"),
        ("--pastebin=all", "run folder"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_what_to_use_instead(argument: str, hint: str) -> None:
    (problem,) = problems("-v", argument)
    assert problem.where == f"-- {argument}"
    assert hint in problem.hint


def test_everything_else_is_the_parsers_to_judge() -> None:
    assert (
        problems("-v", "-x", "-k", "a and not b", "--deselect", "a.py::b", "--maxfail=2", "--durations=3")
        == []
    )


def test_every_one_of_them_is_named() -> None:
    assert [problem.where for problem in problems("--setup-only", "--trace")] == [
        "-- --setup-only",
        "-- --trace",
    ]
