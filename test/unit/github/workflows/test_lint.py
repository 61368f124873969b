"""Our own lint: on our own catalog, and on files that are no workflows."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.catalog import Catalog
from ci.errors import Problem
from ci.github.workflows.lint import lint_own, read_own
from ci.github.workflows.render import render
from ci.plan.tree.model import TreeWorkflow


def read(catalog: Catalog, files: dict[str, str]) -> tuple[tuple[TreeWorkflow, ...], list[Problem]]:
    problems: list[Problem] = []
    return read_own(catalog, {name: text.encode() for name, text in files.items()}, problems), problems


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
def test_what_is_not_a_workflow_is_named_with_its_line(
    catalog: Catalog, text: str, where: str, what: str
) -> None:
    workflows, problems = read(catalog, {"w.yml": text})
    assert not workflows
    assert [(problem.where, problem.what[: len(what)]) for problem in problems] == [(where, what)]


def test_unusual_shapes_are_read_without_a_traceback(catalog: Catalog) -> None:
    text = (
        "jobs:\n"
        "  nothing: {}\n"
        "  null_steps: {steps: null, strategy: {matrix: '${{ fromJSON(x) }}'}}\n"
        "  group: {runs-on: {group: big, labels: [linux-west-1gpu]}, steps: [text, {run: 5}]}\n"
        "  mirror: {runs-on: '${{ matrix.a }}', strategy: {matrix: {a: ['${{ matrix.a }}']}}}\n"
        "  text: text\n"
    )
    workflows, problems = read(catalog, {"w.yml": text})
    assert not problems
    jobs = {job.id: job for job in workflows[0].jobs}
    assert list(jobs) == ["nothing", "null_steps", "group", "mirror"]
    assert [job.size for job in jobs.values()] == [1, None, 1, None]
    assert jobs["group"].label.value == "linux-west-1gpu"


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
    workflows, problems = read(catalog, {"w.yml": json.dumps({"jobs": jobs})})
    assert not problems
    assert [job.id for job in workflows[0].jobs] == list(jobs)
    assert all(isinstance(problem.where, str) for problem in lint_own(catalog, workflows))


def test_jobs_that_cannot_start_or_end_are_named_with_their_line(catalog: Catalog) -> None:
    text = (
        "jobs:\n"
        "  free: {runs-on: ubuntu-latest}\n"
        "  late:\n"
        "    needs: [fre]\n"
        "    timeout-minutes: ${{ matrix.minutes }}\n"
        "    runs-on: ${{ format('linux-{0}-1gpux', needs.plan.outputs.pool) }}\n"
        "  off: {if: false, timeout-minutes: 5, runs-on: ubuntu-latest}\n"
        "  called: {uses: ./.github/workflows/other.yml}\n"
    )
    workflows, _ = read(catalog, {".github/workflows/w.yml": text})
    found = [str(each) for each in lint_own(catalog, workflows) if each.where.startswith(".github")]
    assert [line.partition(" ")[0] for line in found] == [
        ".github/workflows/w.yml:2:",
        ".github/workflows/w.yml:6:",
        ".github/workflows/w.yml:3:",
        ".github/workflows/w.yml:7:",
    ]
    assert "no limit: job free" in found[0]
    assert "unknown label: 'linux-*-1gpux'" in found[1]
    assert "needs 'fre'" in found[2]
    assert "did you mean 'free'" in found[2]
    assert "never true" in found[3]


class TestOurOwn:
    def test_what_is_rendered_has_no_finding(self, catalog: Catalog) -> None:
        workflows, problems = read(
            catalog, {path: text for path, text in render(catalog).items() if "workflows" in path}
        )
        assert len(workflows) == 6
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
