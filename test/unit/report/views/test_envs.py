"""What `nox -s envs` prints: values with their origin, and secrets hidden."""

import sys

import pytest

from ci.plan.environment import Resolved, Setting
from ci.report.console import Console, plain_console
from ci.report.views.envs import (
    HIDDEN,
    show_environment,
    show_environment_differences,
    show_explanation,
)

A = Setting(name="A_FLAG", value="1", source="base", why="kernels", overrode=(("stage", "0"),))
TOKEN = Setting(name="HF_TOKEN", value="hf_secret", source="given", why="")


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str]) -> "Shown":
    return Shown(capsys)


class Shown:
    """What was printed since the last look, with single spaces."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    @property
    def console(self) -> Console:
        return plain_console(sys.stdout)

    def words(self) -> str:
        return " ".join(self._capsys.readouterr().out.split())


def test_each_variable_has_its_set_its_reason_and_what_it_overrode(text: Shown) -> None:
    show_environment(text.console, "stage_a", Resolved(settings={"A_FLAG": A}), ())
    words = text.words()
    assert "stage_a: 1 variables" in words
    assert "A_FLAG 1 base kernels stage = 0" in words


def test_the_value_of_a_secret_is_not_shown(text: Shown) -> None:
    show_environment(text.console, "x", Resolved(settings={"HF_TOKEN": TOKEN}), ("HF_TOKEN",))
    words = text.words()
    assert f"HF_TOKEN {HIDDEN} given" in words
    assert "hf_secret" not in words


def test_differences_show_both_values_with_their_sets_or_a_dash(text: Shown) -> None:
    show_environment_differences(text.console, "one", "two", [("A_FLAG", A, None)], (), alike=0)
    words = text.words()
    assert "one and two: 1 variables differ" in words
    assert "A_FLAG 1 (base) -" in words
    show_environment_differences(text.console, "one", "two", [], (), alike=2)
    words = text.words()
    assert "0 variables differ" in words
    assert "variable one two" not in words, "no table of nothing"
    assert "2 more have other text" in words


def test_an_explanation_names_suites_and_what_is_passed_through(text: Shown) -> None:
    show_explanation(text.console, "A_FLAG", {"1-gpu": A}, "for the mirror")
    words = text.words()
    assert "passed through from the caller: for the mirror" in words
    assert "1-gpu 1 base kernels stage = 0" in words
    show_explanation(text.console, "A_FLAG", {}, "")
    words = text.words()
    assert "passed through" not in words
    assert "suite value" not in words
