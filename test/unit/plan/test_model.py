"""A plan as JSON: the same again, or refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import UsageError
from ci.plan.model import Plan
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
env_names = st.from_regex(r"[A-Z][A-Z0-9]{0,8}_[A-Z0-9]{1,8}", fullmatch=True).filter(
    lambda name: (
        not name.startswith("AMD_CI_")
        and not set(name.split("_")) & {word for row in catalog().secrets for word in row.words}
    )
)


@given(
    st.dictionaries(
        env_names, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4
    ),
    st.integers(1, 9),
    st.booleans(),
)
def test_a_plan_survives_the_way_through_json(env: dict[str, str], jobs: int, fail_fast: bool) -> None:  # noqa: FBT001  # hypothesis hands it over
    asked = request(env=tuple(env.items()), jobs=str(jobs), fail_fast=fail_fast)
    plan = planned(catalog(), facts(ROWS), asked)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())), where="plan.json")
    assert again == plan
    assert again.digest == plan.digest


def test_a_plan_with_bytes_that_are_not_utf_8_can_be_written_and_read() -> None:
    asked = request(env=(("SGLANG_X", "a\udcff"),))
    plan = planned(catalog(), facts(ROWS, root="/t/\udce9"), asked)
    file = plan.text().encode()
    again = Plan.from_json(json.loads(file), where="plan.json")
    assert again == plan
    assert again.digest == plan.digest


def test_an_edited_plan_is_refused() -> None:
    data = planned(catalog(), facts(ROWS), request()).to_json()
    data["work"]["suites"][0]["env"]["USE_KERNELS"] = "0"
    with pytest.raises(UsageError, match="states digest"):
        Plan.from_json(data, where="plan.json")
    with pytest.raises(UsageError, match="is not a plan"):
        Plan.from_json([], where="plan.json")


def test_everything_that_a_plan_lacks_is_named_at_once() -> None:
    data = planned(catalog(), facts(ROWS), request()).to_json()
    del data["work"]["commit"]
    data["work"]["suites"][0]["tests"][0]["timeout_s"] = "long"
    data["work"]["verdict_rules"][0]["verdict"] = "gremlins"
    data["placement"]["colour"] = "red"
    with pytest.raises(UsageError, match=r"plan\.json is not a whole plan") as caught:
        Plan.from_json(data, where="plan.json")
    text = caught.value.render()
    assert "work.commit: is missing" in text
    assert "work.suites[0].tests[0].timeout_s: is 'long', not a number" in text
    assert "work.verdict_rules[0].verdict: unknown value 'gremlins' (expected 'product', 'device'" in text
    assert "placement.colour: unknown key" in text


def test_work_is_frozen() -> None:
    plan = planned(catalog(), facts(ROWS), request())
    with pytest.raises(AttributeError):
        plan.work.commit = "x"  # type: ignore[misc]  # that it fails is the point
    assert replace(plan.work, commit="x").commit == "x"
