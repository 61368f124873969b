"""A saved plan is done again, or refused with what differs."""

from dataclasses import replace

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import UsageError
from ci.plan.compare.replay import at_commit, needs_again, only_tests, place_again
from ci.plan.container.inside import CheckoutFacts
from ci.plan.facts import Known
from support.containers import contained, docker_facts, image
from support.planning import (
    catalog,
    facts,
    mi300x,
    planned,
    registration,
    request,
)
from support.shard_plans import shard_plan

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


def test_only_the_failed_tests_with_everything_else_the_same() -> None:
    whole = shard_plan()
    (suite,) = whole.work.suites
    case = f"{suite.tests[1].id}::TestX::test_y"
    part = only_tests(catalog(), whole, [("", suite.tests[0].id), ("", case)])
    assert [(test.id, test.cases) for test in part.work.suites[0].tests] == [
        (suite.tests[0].id, ()),
        (suite.tests[1].id, (case,)),
    ]
    assert replace(part.work.suites[0], tests=()) == replace(suite, tests=())
    assert part.digest != whole.digest


def test_a_failed_test_that_the_plan_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        only_tests(catalog(), shard_plan(), [("", "test/registered/gone.py")])
    assert "test/registered/gone.py: is not in the plan" in caught.value.render()


def test_another_commit_is_the_same_plan_but_for_it() -> None:
    there = at_commit(shard_plan(), "b" * 40, "/t")
    assert there.work == replace(shard_plan().work, commit="b" * 40)
    sglang = replace(shard_plan(), work=replace(shard_plan().work, checkout="c" * 40))
    moved = at_commit(sglang, "d" * 40, "/t")
    assert (moved.work.commit, moved.work.checkout, moved.placement.root) == ("a" * 40, "d" * 40, "/t")


def test_every_difference_is_named_at_once() -> None:
    saved = planned(catalog(), facts(ROWS), request())
    (engine,) = (facts(ROWS).engines["llamacpp"],)
    here = facts(
        ROWS,
        commit=Known(value="c" * 40, source="git"),
        checkout=Known(value="d" * 40, source="git"),
        engines={"llamacpp": replace(engine, engine_version="2.0")},
    )
    with pytest.raises(UsageError) as caught:
        place_again(catalog(), here, needs_again(catalog(), request(), saved), saved)
    assert [problem.where for problem in caught.value.problems] == ["commit", "checkout", "engine version"]


def test_another_class_of_hardware_is_refused() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    here = replace(mi300x(ROWS), hardware_class="mi325x")
    with pytest.raises(UsageError) as caught:
        place_again(catalog(), here, needs_again(catalog(), request(), saved), saved)
    assert [problem.where for problem in caught.value.problems] == ["hardware class"]


def test_it_is_placed_on_this_machine_for_this_user() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    here = mi300x(ROWS, user="y", host="h", runs_dir="/r", event=Known(value="schedule", source="x"))
    words = ("nox", "-s", "stage_a_amd", "--", "--plan", "x")
    placed = place_again(
        catalog(), here, needs_again(catalog(), request(command=words), saved), saved
    ).placement
    assert (placed.user, placed.host, placed.runs_dir, placed.event, placed.command) == (
        "y",
        "h",
        "/r",
        "schedule",
        words,
    )


def test_a_plan_keeps_its_executor() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    assert needs_again(catalog(), request(executor=ExecutorKind.HOST), saved).executor is ExecutorKind.HOST
    with pytest.raises(UsageError, match="--executor docker, but the plan is of host"):
        needs_again(catalog(), request(executor=ExecutorKind.DOCKER), saved)


def test_a_container_that_would_be_another_is_refused_with_what_differs() -> None:
    saved = contained()
    needs = needs_again(catalog(), request(), saved)
    assert needs.container is not None
    assert [suite.id for suite in needs.suites] == [suite.id for suite in saved.work.suites]
    here = mi300x([registration("test/a.py")])
    assert place_again(catalog(), here, needs, saved, docker_facts(image())).digest == saved.digest
    with pytest.raises(UsageError) as caught:
        place_again(catalog(), here, needs, saved, docker_facts(image(), mounts=()))
    assert {problem.where.partition(".")[0] for problem in caught.value.problems} == {"container"}


def test_a_file_that_failed_as_a_whole_is_repeated_as_a_whole() -> None:
    whole = shard_plan()
    (suite,) = whole.work.suites
    file = suite.tests[0].id
    part = only_tests(catalog(), whole, [("", f"{file}::test_x"), ("", file)])
    assert [test.cases for test in part.work.suites[0].tests] == [()]
    part = only_tests(
        catalog(), whole, [("", f"{file}::test_x"), ("", f"{file}::test_x"), ("", f"{file}::test_y")]
    )
    assert [test.cases for test in part.work.suites[0].tests] == [(f"{file}::test_x", f"{file}::test_y")]


def test_a_test_of_two_suites_is_repeated_in_the_one_that_is_named() -> None:
    whole = shard_plan()
    (suite,) = whole.work.suites
    two = replace(whole, work=replace(whole.work, suites=(suite, replace(suite, id="twin"))))
    file = suite.tests[0].id
    assert [one.id for one in only_tests(catalog(), two, [("twin", file)]).work.suites] == ["twin"]
    assert [one.id for one in only_tests(catalog(), two, [("", file)]).work.suites] == [suite.id, "twin"]
    with pytest.raises(UsageError):
        only_tests(catalog(), two, [("other", file)])


FOUR, EIGHT = "test/registered/c/test_four.py", "test/registered/c/test_eight.py"


@pytest.mark.parametrize(("failed", "preflights"), [(FOUR, []), (EIGHT, ["all-reduce"])])
def test_the_failed_part_of_a_plan_has_the_preflights_of_its_suites_and_can_be_placed(
    failed: str, preflights: list[str]
) -> None:
    rows = [registration(FOUR, "stage-c-test-4-gpu-amd"), registration(EIGHT, "stage-c-test-8-gpu-amd")]
    here = mi300x(rows, checkout=Known(value="b" * 40, source="test"))
    tree = CheckoutFacts(tree="b", tree_source="test", files=frozenset(), pins={"aiter@gfx942": "abcdef1"})
    found = replace(docker_facts(image()), tree=tree)
    asked = request("stage-c-amd", executor=ExecutorKind.DOCKER, image="x:y")
    whole = planned(catalog(), here, asked, found)
    part = only_tests(catalog(), whole, [("", failed)])
    again = place_again(catalog(), here, needs_again(catalog(), request("stage-c-amd"), part), part, found)
    assert again.digest == part.digest
    assert again.work.container is not None
    assert [row.id for row in again.work.container.preflights] == preflights
