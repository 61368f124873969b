"""What was understood of a source, as the options that ask for the same."""

from dataclasses import replace

import pytest

from ci.plan.shards import Shard
from ci.repro.source import Asked, from_plan
from support.shard_plans import contained_shard_plan, shard_plan


def test_the_command_of_another_machine_gets_the_tree_of_this_one() -> None:
    command = (
        "nox",
        "-s",
        "stage_b_amd",
        "--",
        "--checkout",
        "/runner/sglang",
        "--shard",
        "3/14",
        "--",
        "--checkout",
    )
    made = replace(shard_plan(), placement=replace(shard_plan().placement, command=command))
    words = from_plan(made, kind="x", where="x").asked.arguments("/here")
    assert words == ("--checkout", "/here", "--shard", "3/14", "--", "--checkout")


def test_an_option_without_its_value_is_left_as_it_is() -> None:
    asked = Asked(stage="s", command=("nox", "-s", "x", "--", "--json", "--checkout"))
    assert asked.arguments("/here") == ("--json", "--checkout")


def test_the_other_spelling_of_checkout_is_replaced_too() -> None:
    asked = Asked(
        stage="s", command=("nox", "-s", "x", "--", "--checkout=/there", "--", "--checkout=/pytests")
    )
    assert asked.arguments("/here") == ("--checkout=/here", "--", "--checkout=/pytests")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(stage="s"), ""),
        (Asked(stage="s", suite="1-gpu", shard=Shard(index=3, count=14)), "--suite 1-gpu --shard 3/14"),
        (Asked(stage="s", tests=("a.py", "b.py::t")), "--test a.py --test b.py::t"),
        (Asked(stage="s", env=(("A", "1"), ("B", ""))), "--env A=1 --env B="),
        (Asked(stage="s", suite="1-gpu", sglang=True), "--suite 1-gpu --checkout /here"),
    ],
)
def test_what_is_known_becomes_options(asked: Asked, words: str) -> None:
    assert " ".join(asked.arguments("/here")) == words


def test_a_plan_without_a_nox_command_is_asked_for_by_its_only_suite() -> None:
    made = replace(
        shard_plan(), placement=replace(shard_plan().placement, command=("python", "-m", "ci", "run"))
    )
    assert from_plan(made, kind="x", where="x").asked.arguments("") == (
        "--suite",
        "1-gpu-small",
        "--shard",
        "3/14",
    )
    (suite,) = made.work.suites
    two = replace(made, work=replace(made.work, suites=(suite, replace(suite, id="2-gpu"))))
    assert from_plan(two, kind="x", where="x").asked.arguments("") == ()


def test_the_facts_of_a_plan_say_suite_shard_and_what_failed() -> None:
    found = from_plan(contained_shard_plan(), kind="plan", where="here", failed=(("", "a.py"), ("", "b.py")))
    facts = {fact.what: fact.value for fact in found.facts}
    assert facts["suites"] == "1-gpu-small shard 3/14"
    assert facts["hardware class"] == "mi300x"
    assert facts["failed"] == "a.py, b.py"
    assert facts["image"] == contained_shard_plan().work.image
    assert "checkout" not in facts
    assert {fact.source for fact in found.facts} == {"here"}
    rehearsed = replace(shard_plan(), work=replace(shard_plan().work, rehearsal=True))
    facts = {fact.what: fact.value for fact in from_plan(rehearsed, kind="x", where="x").facts}
    assert facts["hardware class"].endswith("(rehearsal)")
    assert "image" not in facts
