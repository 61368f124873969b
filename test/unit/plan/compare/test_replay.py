"""A saved plan is done again, or refused with what differs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import UsageError
from ci.plan.compare.replay import at_commit, only_tests, placing_words, request_again
from ci.plan.container.inside import CheckoutFacts
from ci.plan.content import ContentWork
from ci.plan.facts import Known
from ci.plan.model import Plan
from support.containers import contained, docker_facts, image
from support.planning import (
    STAGE_B_SMALL,
    again,
    bound,
    catalog,
    facts,
    mi300x,
    planned,
    registration,
    request,
)
from support.shard_plans import shard_plan
from support.slurm_places import PLACE

ROWS = [
    registration(f"test/registered/amd/test_{number}.py", est_time_s=10 * number) for number in range(1, 6)
]


def test_a_saved_plan_is_repeated_as_it_is_or_refused_with_what_differs() -> None:
    saved = planned(catalog(), facts(ROWS), request(env=(("SGLANG_X", "1"),)))
    here = facts(ROWS, host="elsewhere", root="/other")
    placed = again(catalog(), here, request(command=("nox",)), saved)
    assert placed.digest == saved.digest
    assert placed.placement.root == "/other"
    moved = facts(ROWS, commit=Known(value="c" * 40, source="git"))
    with pytest.raises(UsageError, match="of another commit, and cannot be repeated here") as caught:
        again(catalog(), moved, request(), saved)
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
        again(catalog(), here, request(), saved)
    assert [problem.where for problem in caught.value.problems] == ["checkout", "commit"]
    assert "other fields differ" in caught.value.cause


def test_another_class_of_hardware_is_refused() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    here = replace(mi300x(ROWS), hardware_class="mi325x")
    with pytest.raises(UsageError) as caught:
        again(catalog(), here, request(), saved)
    assert [problem.where for problem in caught.value.problems] == ["hardware_class"]


def test_it_is_placed_on_this_machine_for_this_user() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    here = mi300x(ROWS, user="y", host="h", runs_dir="/r", event=Known(value="schedule", source="x"))
    words = ("nox", "-s", "stage_a_amd", "--", "--plan", "x")
    placed = again(catalog(), here, request(command=words), saved).placement
    assert (placed.user, placed.host, placed.runs_dir, placed.event, placed.command) == (
        "y",
        "h",
        "/r",
        "schedule",
        words,
    )


def test_a_clusters_plan_is_repeated_here_unless_its_container_is_the_clusters() -> None:
    made = shard_plan()

    def on_cluster(*runtime_argv: str) -> Plan:
        place = replace(PLACE, runtime_argv=runtime_argv)
        return replace(made, placement=replace(made.placement, executor=ExecutorKind.SLURM, slurm=place))

    assert placing_words(on_cluster(), None) == ("--executor", "host")
    assert placing_words(on_cluster("apptainer", "exec"), None) == ()
    assert placing_words(on_cluster("apptainer", "exec"), ExecutorKind.HOST) == ("--executor", "host")


def test_a_plan_keeps_its_executor_unless_another_is_named() -> None:
    saved = planned(catalog(), mi300x(ROWS), request())
    assert request_again(request(), saved).executor is ExecutorKind.HOST
    assert request_again(request(executor=ExecutorKind.DOCKER), saved).executor is ExecutorKind.DOCKER


def test_a_container_that_would_be_another_is_refused_with_what_differs() -> None:
    saved = contained()
    here = mi300x([registration("test/a.py")])
    assert again(catalog(), here, request(), saved, docker_facts(image())).digest == saved.digest
    with pytest.raises(UsageError) as caught:
        again(catalog(), here, request(), saved, docker_facts(image(), mounts=()))
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
    placed = again(catalog(), here, request("stage-c-amd"), part, found)
    assert placed.digest == part.digest
    assert placed.work.container is not None
    assert [row.id for row in placed.work.container.preflights] == preflights


ROWS_OF_B = [registration(f"test/registered/b/test_{name}.py", STAGE_B_SMALL) for name in ("x", "y", "z")]
HERE = mi300x(ROWS_OF_B)


def edited(change: Callable[[Plan], Plan]) -> Plan:
    """A plan that somebody has changed, who then wrote a fitting digest into the file."""
    rows = replace(catalog(), bounds=(bound("<", 100),))
    changed = change(planned(rows, HERE, request("stage-b-amd", suites=("1-gpu-small",))))
    return Plan.from_json(changed.to_json(), where="plan.json")


def lower_bound(plan: Plan) -> Plan:
    (test, metrics) = next(iter(plan.work.bounds.items()))
    raised = {name: replace(row, limit=row.limit * 10) for name, row in metrics.items()}
    return replace(plan, work=replace(plan.work, bounds={test: raised}))


def dropped_test(plan: Plan) -> Plan:
    (suite,) = plan.work.suites
    return replace(plan, work=replace(plan.work, suites=(replace(suite, tests=suite.tests[1:]),)))


def no_rehearsal(plan: Plan) -> Plan:
    return replace(plan, work=replace(plan.work, rehearsal=not plan.work.rehearsal))


def no_rules(plan: Plan) -> Plan:
    return replace(plan, work=replace(plan.work, verdict_rules=()))


def more_attempts(plan: Plan) -> Plan:
    (suite,) = plan.work.suites
    return replace(plan, work=replace(plan.work, suites=(replace(suite, attempts=9),)))


def longer_limit(plan: Plan) -> Plan:
    return replace(plan, work=replace(plan.work, limits=replace(plan.work.limits, launch_s=9e9)))


def quarantined(plan: Plan) -> Plan:
    return replace(plan, work=replace(plan.work, quarantine=("test/registered/b/test_x.py",)))


def other_files(plan: Plan) -> Plan:
    return replace(plan, work=replace(plan.work, content=ContentWork(tests="0" * 64)))


def other_variable(plan: Plan) -> Plan:
    (suite,) = plan.work.suites
    changed = replace(suite, env={**suite.env, "SGLANG_X": "1"})
    return replace(plan, work=replace(plan.work, suites=(changed,)))


EDITS: dict[Callable[[Plan], Plan], str] = {
    lower_bound: "bounds.test/registered/b/test_x.py.m",
    dropped_test: "suites.1-gpu-small.tests.test/registered/b/test_x.py",
    no_rehearsal: "rehearsal",
    no_rules: "verdict_rules",
    more_attempts: "suites.1-gpu-small.attempts",
    longer_limit: "limits.launch_s",
    quarantined: "quarantine",
    other_files: "content.tests",
    other_variable: "suites.1-gpu-small.env.SGLANG_X",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_a_plan_that_is_not_what_its_request_gives_is_refused_with_the_field(
    edit: Callable[[Plan], Plan],
) -> None:
    rows, saved = replace(catalog(), bounds=(bound("<", 100),)), edited(edit)
    asked = request("stage-b-amd")
    with pytest.raises(UsageError, match="is not what its own request gives") as caught:
        again(rows, HERE, asked, saved)
    assert any(problem.where.startswith(EDITS[edit]) for problem in caught.value.problems)
    assert "--as-saved" in caught.value.then
    taken = again(rows, HERE, asked, saved, as_saved=True)
    assert taken.work == saved.work
    assert any(line.startswith(EDITS[edit]) for line in taken.unverified)


def test_a_plan_that_is_what_its_request_gives_is_never_unverified() -> None:
    saved = planned(catalog(), HERE, request("stage-b-amd"))
    assert again(catalog(), HERE, request("stage-b-amd"), saved, as_saved=True).unverified == ()


def test_what_is_not_the_work_is_never_taken_from_the_file() -> None:
    saved = planned(catalog(), HERE, request("stage-b-amd"))
    forged = replace(saved, notes=("all is well",), sources={}, unverified=("x",), left_out=())
    assert again(catalog(), HERE, request("stage-b-amd"), forged) == again(
        catalog(), HERE, request("stage-b-amd"), saved
    )


def test_a_part_of_a_part_is_checked_too() -> None:
    whole = planned(catalog(), HERE, request("stage-b-amd", suites=("1-gpu-small",)))
    names = [row.file for row in ROWS_OF_B]
    part = only_tests(catalog(), whole, [("", f"{names[0]}::test_a"), ("", names[1])])
    less = only_tests(catalog(), part, [("1-gpu-small", f"{names[0]}::test_a")])
    for saved in (part, less):
        assert again(catalog(), HERE, request("stage-b-amd"), saved).work == saved.work
