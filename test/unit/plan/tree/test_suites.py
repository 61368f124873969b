"""A checkout's suites as rows of our kind."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.facts.tree.catalog import TreeView, view_tree
from ci.plan.tree.differences import differences_of, new_suites, unrun
from ci.plan.tree.stages import stage_for
from ci.plan.tree.suites import TreeSuite, suites_of_tree
from support.catalog_files import catalog
from support.workflow_trees import registered, write_workflow_tree

OURS = "stage-b-test-1-gpu-small-amd"


def look(tree: Path, files: dict[str, str] | None = None) -> TreeView:
    return view_tree(catalog(), str(write_workflow_tree(tree, files)))


def suites(view: TreeView) -> dict[str, TreeSuite]:
    found = suites_of_tree(catalog(), view.facts, view.tests.registrations)
    return {suite.row.name: suite for suite in found}


def gate(suite: str, *, extra: str = "", more: str = "") -> str:
    return (
        f"on: [pull_request]\njobs:\n  job:\n    runs-on: linux-south-2gpu\n    steps:\n"
        f"      - run: bash scripts/ci/amd/amd_ci_start_container.sh{more}\n"
        f"      - timeout-minutes: 20\n        run: python3 test/run_suite.py --hw amd --suite {suite}{extra}\n"
    )


def test_a_suite_of_a_gate_has_the_values_of_its_job(tmp_path: Path) -> None:
    row = suites(look(tmp_path))["one-amd"].row
    assert (row.family, row.gpus, row.shards, row.timeout_s, row.timeout_per_file_s) == (
        "mi30x",
        1,
        2,
        3000,
        900,
    )
    assert (row.nightly, row.rocm) == (False, "")


def test_each_value_has_its_place_in_the_tree(tmp_path: Path) -> None:
    view = look(tmp_path)
    row = next(each for each in view.catalog.suites if each.name == "one-amd")
    assert view.catalog.source_of(row, "shards") == "the tree's pr-amd.yml:26"
    assert view.catalog.source_of(row, "timeout_s") == "the tree's pr-amd.yml:25: the step's"


def test_variables_of_the_command_are_a_set_of_the_suite(tmp_path: Path) -> None:
    view = look(tmp_path)
    row = next(each for each in view.catalog.suites if each.name == "one-amd")
    (name,) = row.env_sets
    assert [(each.name, each.value) for each in view.catalog.env_sets[name].variables] == [
        ("A_VARIABLE", "1")
    ]
    assert name == "the tree's pr-amd.yml:26"


def test_our_row_follows_the_tree_and_keeps_its_stage(tmp_path: Path) -> None:
    view = look(tmp_path, {".github/workflows/pr-amd.yml": gate(OURS, more=" --rocm-version rocm720")})
    before = next(suite for suite in catalog().suites if suite.name == OURS)
    after = next(suite for suite in view.catalog.suites if suite.name == OURS)
    assert (after.id, after.stage, after.gpus, after.rocm) == (before.id, before.stage, 2, "720")
    found = {row.column: (row.ours, row.theirs) for row in differences_of(tuple(suites(view).values()))}
    assert found["gpus"] == (1, 2)
    assert found["rocm"] == ("", "720")


def test_without_limits_a_file_has_the_runners_default_and_a_part_githubs(tmp_path: Path) -> None:
    text = gate("one-amd").replace("      - timeout-minutes: 20\n        run:", "      - run:")
    suite = suites(look(tmp_path, {".github/workflows/pr-amd.yml": text}))["one-amd"]
    assert (suite.row.timeout_s, suite.row.timeout_per_file_s) == (21600, 1000)
    assert suite.sources["timeout_s"] == "GitHub's own limit of 6 h: the job and its step have none"
    assert "run_suite.py's default" in suite.sources["timeout_per_file_s"]


def test_a_file_never_has_more_time_than_its_part(tmp_path: Path) -> None:
    text = gate("one-amd", extra=" --timeout-per-file 9999")
    row = suites(look(tmp_path, {".github/workflows/pr-amd.yml": text}))["one-amd"].row
    assert (row.timeout_s, row.timeout_per_file_s) == (1200, 1200)


def test_a_retry_has_the_wait_of_the_runner(tmp_path: Path) -> None:
    text = gate("one-amd", extra=" --enable-retry --max-attempts 3")
    row = suites(look(tmp_path, {".github/workflows/pr-amd.yml": text}))["one-amd"].row
    assert (row.attempts, row.retry_wait_s) == (3, 60)


def test_the_gate_of_pull_requests_comes_before_other_workflows(tmp_path: Path) -> None:
    other = gate("one-amd", extra=" --timeout-per-file 100").replace("pull_request", "schedule")
    found = suites(look(tmp_path, {".github/workflows/a-first.yml": other}))["one-amd"]
    assert found.row.timeout_per_file_s == 900
    assert [lane.workflow.file for lane in found.lanes] == [
        ".github/workflows/a-first.yml",
        ".github/workflows/pr-amd.yml",
    ]


def test_a_suite_that_is_only_registered_can_be_planned(tmp_path: Path) -> None:
    test = registered('amd(est_time=5, suite="stage-a-test-2-gpu-west-mi35x")')
    view = look(tmp_path, {"test/registered/x/test_orphan.py": test})
    row = suites(view)["stage-a-test-2-gpu-west-mi35x"].row
    assert (row.family, row.gpus, row.shards, row.stage) == ("mi35x", 2, 1, "stage-a-amd")
    assert new_suites(tuple(suites(view).values())) == tuple(
        suite for name, suite in suites(view).items() if name in ("one-amd", "nightly-amd")
    )


@pytest.mark.parametrize(("event", "nightly"), [("schedule", True), ("pull_request", False)])
def test_files_without_a_suite_are_nightly_where_no_pull_request_starts_them(
    tmp_path: Path, event: str, *, nightly: bool
) -> None:
    files = f"""
        on: [{event}]
        jobs:
          stage-b-files-amd:
            runs-on: linux-south-1gpu
            steps: [{{run: "docker exec -w /sglang-checkout/test ci python3 -m pytest registered/x/test_alone.py"}}]
        """
    found = suites(look(tmp_path, {".github/workflows/files-amd.yml": files}))
    assert found["stage-b-files-amd"].row.nightly is nightly


def test_our_suites_that_no_job_runs_are_named(tmp_path: Path) -> None:
    view = look(tmp_path)
    assert OURS in {suite.name for suite in unrun(catalog(), tuple(suites(view).values()))}


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("stage-a-anything", "stage-a-amd"),
        ("nightly-x-big-y", "nightly-big-amd"),
        ("what-ever", "stage-b-amd"),
    ],
)
def test_the_longest_pattern_decides_the_stage(name: str, stage: str) -> None:
    rows: Catalog = catalog()
    assert stage_for(rows, name) == stage
