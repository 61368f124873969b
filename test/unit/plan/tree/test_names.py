"""A job's name among a checkout's own jobs."""

from pathlib import Path

import pytest

from ci.errors import UsageError
from ci.facts.tree.catalog import TreeView, view_tree
from ci.github.job_names import JobName, job_name, looks_like_a_job
from support.catalog_files import catalog
from support.workflow_trees import REGISTER, write_workflow_tree

JOB = """
on: [schedule]
jobs:
  odd-amd:
    runs-on: linux-south-1gpu
    steps:
      - run: bash scripts/ci/amd/amd_ci_start_container.sh --rocm-version rocm720
      - run: |
{lines}
"""
CALL = "          bash scripts/ci/amd/amd_ci_exec.sh{env} python3 {runner} --hw amd --suite {suite}{more}\n"


def call(suite: str = "one-amd", *, env: str = "", more: str = "", runner: str = "run_suite.py") -> str:
    return CALL.format(env=env, runner=runner, suite=suite, more=more)


@pytest.fixture
def view(tmp_path: Path) -> TreeView:
    return view_tree(catalog(), str(write_workflow_tree(tmp_path)))


def with_job(tree: Path, lines: str) -> TreeView:
    text = JOB.format(lines=lines)
    return view_tree(catalog(), str(write_workflow_tree(tree, {".github/workflows/odd-amd.yml": text})))


def named(view: TreeView, name: str) -> JobName:
    assert looks_like_a_job(name, view.catalog, view.facts)
    return job_name(name, view.catalog, view.facts)


def test_a_part_has_the_number_of_parts_of_the_tree(view: TreeView) -> None:
    found = named(view, "one-amd (linux-south-1gpu, 1)")
    assert (found.suite.name, str(found.shard), found.rocm, found.env) == ("one-amd", "2/2", "", ())
    assert "a job of the tree: pr-amd.yml:14" in found.readings


def test_a_choice_of_inputs_has_its_own_runner(view: TreeView) -> None:
    found = named(view, "call / one-amd (linux-north-1gpu, 0)")
    assert found.label is not None
    assert (found.label.label, str(found.shard)) == ("linux-north-1gpu", "1/2")


def test_a_job_need_not_be_named_like_its_suite(view: TreeView) -> None:
    found = named(view, "nightly-two")
    assert (found.suite.name, found.shard) == ("nightly-amd", None)
    (note,) = [words for words in found.readings if "several times" in words]
    assert "nightly-amd with its own variables (nightly-amd.yml:13)" in note
    assert "nightly-amd with BACKEND=two (nightly-amd.yml:14)" in note
    assert any("it also runs test/registered/x/test_alone.py" in words for words in found.readings)


def test_what_differs_from_the_suites_own_job_is_given(tmp_path: Path) -> None:
    found = named(with_job(tmp_path, call(env=" -e MORE=1", more=" --timeout-per-file 77")), "odd-amd")
    assert (found.suite.name, found.rocm, found.env) == ("one-amd", "720", (("MORE", "1"),))
    assert any("a file has 77 s there (odd-amd.yml:9), 900 s here" in words for words in found.readings)


def test_a_job_of_several_suites_has_all_of_one_stage(tmp_path: Path) -> None:
    view = with_job(tmp_path, call() + call("listed-amd"))
    found = named(view, "odd-amd")
    assert (found.suite.name, [suite.name for suite in found.others]) == ("one-amd", ["listed-amd"])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (call(runner="/other/tests/run_suite.py"), "it runs one-amd by /other/tests/run_suite.py"),
        ("          true\n", "odd-amd.yml:4 runs no tests"),
    ],
)
def test_a_job_that_cannot_be_planned_says_what_it_runs(tmp_path: Path, lines: str, words: str) -> None:
    view = with_job(tmp_path, lines)
    with pytest.raises(UsageError) as error:
        job_name("odd-amd", view.catalog, view.facts)
    assert words in error.value.cause


def two_jobs(tree: Path, lines: str) -> TreeView:
    files = {
        ".github/workflows/odd-amd.yml": JOB.format(lines=call()),
        ".github/workflows/other-amd.yml": "name: Other\n" + JOB.format(lines=lines),
    }
    return view_tree(catalog(), str(write_workflow_tree(tree, files)))


def test_two_jobs_of_one_name_with_different_tests_are_a_question(tmp_path: Path) -> None:
    view = two_jobs(tmp_path, call("listed-amd"))
    with pytest.raises(UsageError) as error:
        job_name("odd-amd", view.catalog, view.facts)
    assert [problem.hint for problem in error.value.problems] == [
        "./inv repro 'odd-amd.yml / odd-amd'",
        "./inv repro 'Other / odd-amd'",
    ]
    assert named(view, "Other / odd-amd").suite.name == "listed-amd"
    assert job_name("odd-amd", view.catalog, view.facts, workflow="Other").suite.name == "listed-amd"


def test_the_job_that_called_a_workflow_decides_between_two(tmp_path: Path) -> None:
    called = JOB.format(lines=call("listed-amd")).replace("[schedule]", "[workflow_call]")
    caller = "on: [push]\njobs:\n  call-it:\n    uses: ./.github/workflows/called-amd.yml\n"
    files = {
        ".github/workflows/odd-amd.yml": JOB.format(lines=call()),
        ".github/workflows/called-amd.yml": called,
        ".github/workflows/caller-amd.yml": caller,
    }
    view = view_tree(catalog(), str(write_workflow_tree(tmp_path, files)))
    assert named(view, "call-it / odd-amd").suite.name == "listed-amd"
    with pytest.raises(UsageError, match="run different tests"):
        named(view, "odd-amd")


def test_of_two_jobs_with_the_same_tests_the_other_is_said(tmp_path: Path) -> None:
    found = named(two_jobs(tmp_path, call(env=" -e MORE=1")), "odd-amd")
    assert (found.suite.name, found.env) == ("one-amd", ())
    assert any("other-amd.yml:5 has a job of this name too" in words for words in found.readings)


def test_a_part_of_a_tree_with_another_rule_is_refused(tmp_path: Path) -> None:
    text = REGISTER.replace("(-f.est_time, f.filename)", "f.est_time, reverse=True")
    files = {"python/sglang/test/ci/ci_register.py": text}
    view = view_tree(catalog(), str(write_workflow_tree(tmp_path, files)))
    with pytest.raises(UsageError) as error:
        job_name("one-amd (linux-south-1gpu, 1)", view.catalog, view.facts)
    assert "in the order in which the file system lists them" in error.value.cause


def test_another_name_is_read_as_without_a_tree(view: TreeView) -> None:
    assert named(view, "one-amd (linux-south-1gpu, 2/7)").shard is not None
