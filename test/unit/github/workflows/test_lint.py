"""Our own lint: on a tree whose faults are marked in its files, on our own catalog, and on files that are no workflows."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import discover
from ci.cli.main import main
from ci.errors import Problem
from ci.github.workflows.lint import lint_own, lint_tree
from ci.github.workflows.render import render
from ci.github.workflows.sglang_reader import Workflow, read_workflows, workflow_files
from support.trees import registrations, write_sglang_tree, write_stub_tree

DATA = Path(__file__).parents[3] / "data/sglang_workflows"
MARK = re.compile(r"# finding: (.+)$")


def registering(*suites: str, mark: str = "") -> str:
    lines = [f"register_amd_ci(est_time=5, suite={suite})" for suite in suites]
    if mark:
        lines[-1] += f"  # finding: {mark}"
    return "\n".join(["import x", *lines, 'if __name__ == "__main__":', "    main()", ""])


def small_tree(folder: Path) -> Path:
    tests = {
        "amd/a.py": registering('"small-amd"', '"large-amd"'),
        "amd/b.py": registering('"small-amd"', '"large-amd"'),
        "amd/c.py": registering('"small-amd"', '"through-a-call-amd"'),
        "amd/named_directly.py": registering('"nobody-runs-it-amd"'),
        "amd/named_too.py": registering('"nobody-runs-it-either-amd"'),
        "amd/off.py": registering('"all-disabled-amd", disabled="too slow"'),
        "amd/lost.py": registering('"only-in-a-comment-amd"', mark="orphan"),
        "amd/cuda_only.py": registering('"run-elsewhere-amd"', mark="orphan"),
        "amd/day.py": registering('"nightly-amd-8-gpu"', mark="orphan"),
        "amd/night.py": registering(
            '"nightly-amd-8-gpu", nightly=True',
            '"nightly-amd-one", nightly=True',
            '"nightly-amd-two", nightly=True',
        ),
        "amd/night_by_day.py": registering('"nightly-amd", nightly=True', mark="orphan"),
    }
    tree = write_sglang_tree(folder, {f"test/registered/{name}": text for name, text in tests.items()})
    shutil.copytree(DATA, tree / ".github/workflows")
    return tree


def marked(tree: Path) -> list[tuple[str, str]]:
    """Place and point of every fault that the tree's files mark."""
    return sorted(
        (f"{path.relative_to(tree)}:{number}", found[1])
        for path in tree.rglob("*.*")
        if path.is_file()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (found := MARK.search(line)) and not line.startswith("# A ")
    )


def read(files: dict[str, str]) -> tuple[tuple[Workflow, ...], list[Problem]]:
    problems: list[Problem] = []
    return read_workflows([(name, text.encode()) for name, text in files.items()], problems), problems


def points(problems: list[Problem]) -> list[tuple[str, str]]:
    return sorted((problem.where, problem.what.partition(":")[0]) for problem in problems)


def test_every_marked_fault_is_found_in_its_line_and_nothing_else(tmp_path: Path, catalog: Catalog) -> None:
    tree = small_tree(tmp_path / "tree")
    problems: list[Problem] = []
    tests = discover(tree, catalog.discovery, layout="sglang", backends=("amd",))
    found = lint_tree(catalog, read_workflows(workflow_files(tree, problems), problems), tests)
    assert not problems
    expected = marked(tree)
    assert len(expected) == 20
    assert points(found) == expected


@pytest.mark.usefixtures("own_tree")
def test_check_lists_them_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = small_tree(tmp_path / "tree")
    assert main(["check", "--checkout", str(tree)]) == 10
    shown = capsys.readouterr().err
    for where, point in marked(tree):
        assert f"{where}: {point}" in shown
    assert main(["check", "--checkout", str(tree), "--json"]) == 10
    rows = json.loads(capsys.readouterr().out)["problems"]
    assert {(row["where"], row["what"].partition(":")[0]) for row in rows} >= set(marked(tree))


def test_the_orphans_of_the_whole_tree_are_those_that_no_suite_or_path_names(
    tmp_path: Path, catalog: Catalog
) -> None:
    """Counted a second way: from the registrations alone."""
    tree = write_stub_tree(tmp_path / "tree")
    amd = [row for row in registrations() if row["backend"] == "amd" and row["disabled"] is None]
    run = sorted({(row["suite"], row["nightly"]) for row in amd})[::2]
    jobs = "".join(
        f"  job-{number}:\n    runs-on: linux-west-8gpu\n    timeout-minutes: 9\n    steps:\n"
        f"      - run: python3 run_suite.py --hw amd --suite {suite}{' --nightly' if nightly else ''}\n"
        for number, (suite, nightly) in enumerate(run)
    )
    workflows, _ = read({".github/workflows/amd.yml": f"on: [push]\njobs:\n{jobs}"})
    tests = discover(tree, catalog.discovery, layout="sglang", backends=("amd",))
    found = lint_tree(catalog, workflows, tests)
    orphans = [problem.where.rpartition(":")[0] for problem in found]
    assert orphans
    assert sorted(orphans) == sorted(row["file"] for row in amd if (row["suite"], row["nightly"]) not in run)


def test_a_tree_without_workflows_has_nothing_but_orphans(tmp_path: Path, catalog: Catalog) -> None:
    tree = write_sglang_tree(tmp_path / "tree", {"test/registered/a.py": registering('"small-amd"')})
    tests = discover(tree, catalog.discovery, layout="sglang", backends=("amd",))
    problems: list[Problem] = []
    found = lint_tree(catalog, read_workflows(workflow_files(tree, problems), problems), tests)
    assert points([*found, *problems]) == [("test/registered/a.py:2", "orphan")]


def test_a_workflow_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    (folder / "folder.yml").mkdir(parents=True)
    (folder / "gone.yml").symlink_to("nowhere")
    problems: list[Problem] = []
    assert not workflow_files(tmp_path, problems)
    assert points(problems) == [
        (".github/workflows/folder.yml", "cannot be read"),
        (".github/workflows/gone.yml", "cannot be read"),
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("jobs: [1\n", "w.yml:2", "cannot be read"),
        ("jobs:\n  a: {\n", "w.yml:3", "cannot be read"),
        ("amd\n", "w.yml:1", "has no jobs"),
        ("jobs: []\n", "w.yml:1", "has no jobs"),
        ("a: 1\na: 2\n", "w.yml:2", "cannot be read"),
    ],
)
def test_what_is_not_a_workflow_is_named_with_its_line(text: str, where: str, what: str) -> None:
    workflows, problems = read({"w.yml": text})
    assert not workflows
    assert [(problem.where, problem.what[: len(what)]) for problem in problems] == [(where, what)]


def test_unusual_shapes_are_read_without_a_traceback() -> None:
    text = (
        "jobs:\n"
        "  nothing: {}\n"
        "  null_steps: {steps: null, strategy: {matrix: '${{ fromJSON(x) }}'}}\n"
        "  group: {runs-on: {group: big, labels: [linux-west-1gpu]}, steps: [text, {run: 5}]}\n"
        "  mirror: {runs-on: '${{ matrix.a }}', strategy: {matrix: {a: ['${{ matrix.a }}']}}}\n"
        "  text: text\n"
    )
    workflows, problems = read({"w.yml": text})
    assert not problems
    jobs = {job.id: job for job in workflows[0].jobs}
    assert list(jobs) == ["nothing", "null_steps", "group", "mirror"]
    assert [job.cells for job in jobs.values()] == [1, None, 1, 1]
    assert [label.text for label in jobs["group"].labels] == ["linux-west-1gpu"]


KEYS = (
    "jobs",
    "steps",
    "run",
    "runs-on",
    "needs",
    "strategy",
    "matrix",
    "include",
    "with",
    "jobs",
    "suite",
    "if",
)
TEXTS = (
    "",
    "${{ matrix.a }}",
    "run_suite.py --hw amd --suite",
    "x \\\ny",
    '[{"expected_count": 1}]',
    "format('{0}'",
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(TEXTS), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*KEYS, "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(KEYS), values, max_size=6))
)
def test_no_shape_of_a_workflow_ends_in_a_traceback(catalog: Catalog, jobs: dict[str, Any]) -> None:
    workflows, problems = read({"w.yml": json.dumps({"jobs": jobs})})
    assert not problems
    assert [job.id for job in workflows[0].jobs] == list(jobs)
    assert all(isinstance(problem.where, str) for problem in lint_own(catalog, workflows))


class TestOurOwn:
    def test_what_is_rendered_has_no_finding(self, catalog: Catalog) -> None:
        workflows, problems = read(
            {path: text for path, text in render(catalog).items() if "workflows" in path}
        )
        assert len(workflows) == 5
        assert not [*problems, *lint_own(catalog, workflows)]

    def test_a_stage_that_no_workflow_gets_to_is_named(self, catalog: Catalog) -> None:
        rows = catalog.actions
        only_nightly = tuple(row for row in rows.workflows if row.id != "amd-pr")
        found = lint_own(replace(catalog, actions=replace(rows, workflows=only_nightly)), ())
        lost = [suite for suite in catalog.suites if not suite.nightly]
        assert [problem.where for problem in found] == [catalog.where(suite) for suite in lost]

    def test_stages_that_wait_for_each_other_are_named(self, catalog: Catalog) -> None:
        stages = tuple(
            replace(stage, after=("stage-c-amd",)) if stage.id == "stage-a-amd" else stage
            for stage in catalog.stages
        )
        found = lint_own(replace(catalog, stages=stages), ())
        assert [problem.what for problem in found] == ["unreachable: the stage waits for itself"] * 3

    def test_a_stage_that_waits_for_one_of_another_workflow_is_named(self, catalog: Catalog) -> None:
        stages = tuple(
            replace(stage, after=("nightly-big-amd",)) if stage.id == "stage-a-amd" else stage
            for stage in catalog.stages
        )
        (problem,) = lint_own(replace(catalog, stages=stages), ())
        assert "amd-pr runs this stage, but not 'nightly-big-amd'" in problem.what
