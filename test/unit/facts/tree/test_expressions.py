"""GitHub's expressions, as far as a file shows their values."""

import pytest

from ci.facts.tree.expressions import UNKNOWN, Scope, evaluate, fill

SCOPE = Scope(
    contexts={
        "inputs": {"pool": None, "rocm": "rocm700", "on": UNKNOWN},
        "matrix": {"part": 3, "row": {"name": "x"}},
    },
    closed=frozenset({"inputs", "matrix"}),
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("inputs.pool || 'south'", ("south",)),
        ("(inputs.pool || 'south') == 'SOUTH' && 50 || 40", (50.0,)),
        ("format('{0}-{{x}} {1}', matrix.part, matrix.row.name)", ("3-{x} x",)),
        ("inputs.rocm && inputs.rocm != 'rocm720' && format('-{0}', inputs.rocm) || ''", ("-rocm700",)),
        ("inputs.none", (None,)),
        ("inputs.on && '--more' || ''", ("", "--more")),
        ("github.sha", (UNKNOWN,)),
        ("!inputs.pool", (True,)),
        ("fromJSON('[1, 2]')", ([1, 2],)),
        ("matrix['part'] > 2", (True,)),
        ("contains(format(',{0},', inputs.rocm), ',rocm700,')", (True,)),
        ("it's no expression", (UNKNOWN,)),
        ("format('{3}', 1)", (UNKNOWN,)),
        ("always()", (UNKNOWN,)),
    ],
)
def test_every_value_that_an_expression_can_have(text: str, values: tuple[object, ...]) -> None:
    assert evaluate(text, SCOPE) == values


def test_an_option_of_some_runs_is_named_and_left_out() -> None:
    filled = fill("run ${{ inputs.on && '--more' || '' }} now", SCOPE)
    assert (filled.text, filled.sometimes, filled.unknown) == ("run  now", ("--more",), ())


def test_what_only_a_run_can_tell_is_named() -> None:
    filled = fill("part ${{ format('{0}/{1}', matrix.part, github.run_id) }} of ${{ secrets.NAME }}", SCOPE)
    assert (filled.text, filled.unknown) == ("part 3/* of *", ("secrets.NAME",))
