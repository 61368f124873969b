"""Which server arguments a test's server gets on which hardware, and what a plan says of the others."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ci.catalog.registrations.parse import Registration
from ci.catalog.registrations.test_requirements import Requirements
from ci.errors import UsageError
from ci.execute.spec import make_spec
from ci.plan.facts import Facts
from ci.plan.model import Plan
from support.planning import STAGE_B_SMALL, catalog, discovery, facts, mi300x, planned, registration, request

ASKING = "test/registered/b/test_asking.py"
ROWS = [registration(ASKING, STAGE_B_SMALL), registration("test/registered/b/test_other.py", STAGE_B_SMALL)]


def asking(here: Callable[..., Facts], *asks: str) -> Facts:
    rows: list[Registration] = ROWS
    tests = replace(discovery(rows), requirements={ASKING: Requirements(asks=asks)})
    return here(rows, tests=tests)


def plan(here: Facts, **changes: object) -> Plan:
    return planned(catalog(), here, replace(request("stage-b-amd"), **changes))  # type: ignore[arg-type]  # its own keywords


@pytest.mark.parametrize("hardware", ["mi300x", "mi325x", "mi355x"])
def test_an_argument_that_is_not_allowed_is_left_out_with_its_issue(hardware: str) -> None:
    here = replace(asking(mi300x, "repeatable"), hardware_class=hardware)
    made = plan(here, compared=True)
    answer = made.work.capabilities["repeatable"]
    assert answer.args == ("--repeatable",)
    assert not answer.allowed
    assert answer.issue.endswith("/7")
    (note,) = [note for note in made.notes if note.startswith("--")]
    assert "--repeatable is left out: " in note
    assert "attention backend" in note
    assert ASKING in note


def test_a_rehearsal_says_that_its_engine_has_no_such_argument() -> None:
    answer = plan(asking(facts, "repeatable")).work.capabilities["repeatable"]
    assert not answer.allowed
    assert "llama.cpp" in answer.why


def test_an_allowed_argument_goes_by_the_class_and_has_no_note() -> None:
    here = asking(mi300x, "memory")
    values = {}
    for hardware in ("mi300x", "mi325x"):
        made = plan(replace(here, hardware_class=hardware))
        values[hardware] = made.work.capabilities["memory"].args
        assert not any("left out: " in note and "--memory" in note for note in made.notes)
    assert values == {"mi300x": ("--memory", "0.8"), "mi325x": ("--memory", "0.5")}


def test_a_plan_has_only_what_its_tests_ask_for() -> None:
    assert plan(asking(facts, "memory"), tests=("test_other.py",)).work.capabilities == {}


def test_an_id_without_a_row_stops_the_plan_and_names_test_and_file() -> None:
    with pytest.raises(UsageError) as caught:
        plan(asking(facts, "repeatabel"))
    text = caught.value.render()
    assert f"{ASKING}: asks for 'repeatabel', which has no row for llamacpp on cpu" in text
    assert "did you mean 'repeatable'" in text
    assert "capabilities.toml" in text


def test_the_harness_gets_the_answers() -> None:
    made = plan(asking(facts, "repeatable"))
    spec = make_spec(made, run="r", run_dir="/r", token="t", known_features=())
    assert spec.harness.capabilities == {"repeatable": made.work.capabilities["repeatable"]}
