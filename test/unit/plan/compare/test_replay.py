"""A saved plan is done again, or refused with what differs."""

import pytest

from ci.errors import UsageError
from ci.plan.compare.replay import needs_again, place_again
from ci.plan.facts import Known
from support.planning import (
    catalog,
    facts,
    planned,
    registration,
    request,
)

ROWS = [
    registration(f"test/registered/amd/test_{number}.py", est_time_s=10 * number) for number in range(1, 6)
]


def test_a_saved_plan_is_repeated_as_it_is_or_refused_with_what_differs() -> None:
    saved = planned(catalog(), facts(ROWS), request(env=(("SGLANG_X", "1"),)))
    here = facts(ROWS, host="elsewhere", root="/other")
    again = place_again(catalog(), here, needs_again(catalog(), request(command=("nox",)), saved), saved)
    assert again.digest == saved.digest
    assert again.placement.root == "/other"
    moved = facts(ROWS, commit=Known(value="c" * 40, source="git"))
    with pytest.raises(UsageError, match="cannot be repeated") as caught:
        place_again(catalog(), moved, needs_again(catalog(), request(), saved), saved)
    assert f"git checkout {'a' * 40}" in caught.value.render()
