"""The combinations of a matrix."""

from typing import Any

import pytest

from ci.facts.tree.expressions import Scope
from ci.facts.tree.matrix import read_matrix

SCOPE = Scope(contexts={"inputs": {"parts": "[0, 1]"}}, closed=frozenset({"inputs"}))


@pytest.mark.parametrize(
    ("matrix", "combinations"),
    [
        ({"a": [1, 2], "b": ["x"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]),
        ({"include": [{"a": 1, "b": 2}, {"a": 3}]}, [{"a": 1, "b": 2}, {"a": 3}]),
        (
            {"a": [1, 2], "include": [{"a": 2, "c": 5}, {"a": 7}]},
            [{"a": 1}, {"a": 2, "c": 5}, {"a": 7}],
        ),
        ({"a": [1, 2], "exclude": [{"a": 1}]}, [{"a": 2}]),
        ({"a": "${{ fromJSON(inputs.parts) }}"}, [{"a": 0}, {"a": 1}]),
    ],
)
def test_every_combination_in_order(matrix: Any, combinations: list[dict[str, Any]]) -> None:
    found = read_matrix({"matrix": matrix}, SCOPE)
    assert (list(found.combinations), found.why) == (combinations, "")


def test_a_matrix_that_is_made_at_run_time_says_by_what() -> None:
    assert (
        read_matrix({"matrix": "${{ fromJSON(needs.a.outputs.b) }}"}, SCOPE).why
        == "fromJSON(needs.a.outputs.b)"
    )
