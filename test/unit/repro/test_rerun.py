"""Plans made from a plan: fewer tests, another commit."""

from dataclasses import replace

import pytest

from ci.errors import UsageError
from ci.plan.compare.replay import at_commit, only_tests
from ci.repro.source import from_plan
from support.shard_plans import shard_plan


class TestPlans:
    def test_only_the_failed_tests_with_everything_else_the_same(self) -> None:
        whole = shard_plan()
        (suite,) = whole.work.suites
        case = f"{suite.tests[1].id}::TestX::test_y"
        part = only_tests(whole, [("", suite.tests[0].id), ("", case)])
        assert [(test.id, test.cases) for test in part.work.suites[0].tests] == [
            (suite.tests[0].id, ()),
            (suite.tests[1].id, (case,)),
        ]
        assert replace(part.work.suites[0], tests=()) == replace(suite, tests=())
        assert part.digest != whole.digest

    def test_a_failed_test_that_the_plan_does_not_have_is_refused(self) -> None:
        with pytest.raises(UsageError) as caught:
            only_tests(shard_plan(), [("", "test/registered/gone.py")])
        assert "test/registered/gone.py: is not in the plan" in caught.value.render()

    def test_another_commit_is_the_same_plan_but_for_it(self) -> None:
        there = at_commit(shard_plan(), "b" * 40, "/t")
        assert there.work == replace(shard_plan().work, commit="b" * 40)
        sglang = replace(shard_plan(), work=replace(shard_plan().work, checkout="c" * 40))
        moved = at_commit(sglang, "d" * 40, "/t")
        assert (moved.work.commit, moved.work.checkout, moved.placement.root) == ("a" * 40, "d" * 40, "/t")

    def test_the_command_of_another_machine_gets_the_tree_of_this_one(self) -> None:
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
