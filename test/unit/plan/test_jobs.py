"""Which suites a changed file selects, and by which rule; what cannot be known selects everything."""

import fnmatch
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.registrations.parse import Discovery
from ci.catalog.registrations.test_requirements import Requirements
from ci.plan.jobs import ChangedFile, Changes, RowChange, Selection, changed_rows, fits, select_changed
from support.planning import STAGE_A, STAGE_B_SMALL, catalog, discovery, registration

A_TEST = "test/registered/amd/test_a.py"
B_TEST = "test/registered/amd/test_b.py"
FOUR_GPU, EIGHT_GPU, NIGHTLY = (
    "stage-c-test-4-gpu-amd",
    "stage-c-test-8-gpu-amd",
    "nightly-amd-8-gpu-west-big-flash",
)
KERNELS, JIT = "kernel-unit-test-amd", "jit-unit-test-amd"
ALL = [suite.name for suite in catalog().suites]
DEFAULT = [suite.name for suite in catalog().suites if not suite.when]
TESTS = discovery([registration(A_TEST), registration(B_TEST, STAGE_B_SMALL), registration(A_TEST, FOUR_GPU)])


def select(*files: ChangedFile, tree: str = "own", tests: Discovery = TESTS, **facts: object) -> Selection:
    changes = Changes(tree=tree, base="b" * 40, files=files)
    return select_changed(catalog(), tests, replace(changes, **facts))  # type: ignore[arg-type]


def chosen(selection: Selection) -> list[str]:
    return list(selection.choices)


def rules(selection: Selection, suite: str) -> list[tuple[str, str]]:
    return [(reason.file, reason.rule) for reason in selection.choices[suite].reasons]


def row(path: str, table: str, **content: object) -> ChangedFile:
    return ChangedFile(path=path, rows=(RowChange(table=table, row=content),))


@pytest.mark.parametrize(
    "path",
    ["docs/x/y.md", "README.md", "test/unit/test_plan.py"],
)
def test_what_no_stage_runs_selects_nothing_and_says_so(path: str) -> None:
    selection = select(ChangedFile(path=path))
    assert chosen(selection) == []
    assert [reason.file for reason in selection.nothing] == [path]
    assert selection.nothing[0].why


@pytest.mark.parametrize(
    "path",
    [
        "ci/plan/make.py",
        "noxfile.py",
        "test/harness/server.py",
        "ci/catalog/limits.toml",
        "ci/catalog/runners.toml",
    ],
)
def test_what_takes_part_in_every_job_selects_everything(path: str) -> None:
    selection = select(ChangedFile(path=path))
    assert chosen(selection) == ALL
    assert rules(selection, STAGE_A) == [(path, "house")]


@pytest.mark.parametrize("path", ["Makefile", "new/folder/x.py", "test/registered/conftest.py"])
def test_a_file_that_no_rule_knows_selects_everything(path: str) -> None:
    selection = select(ChangedFile(path=path))
    assert chosen(selection) == ALL
    assert rules(selection, STAGE_A) == [(path, "unmapped")]


def test_an_unknown_base_selects_everything_with_its_reason() -> None:
    selection = select(unknown="main cannot be compared with: shallow")
    assert chosen(selection) == ALL
    assert selection.choices[STAGE_A].reasons[0].why == "main cannot be compared with: shallow"


def test_a_changed_test_selects_itself_in_each_of_its_suites() -> None:
    selection = select(ChangedFile(path=A_TEST, registered=True))
    assert chosen(selection) == [STAGE_A, FOUR_GPU]
    assert {choice.tests for choice in selection.choices.values()} == {frozenset({A_TEST})}
    assert rules(selection, FOUR_GPU) == [(A_TEST, "registered-test")]


def test_a_deleted_test_selects_nothing_but_a_deleted_helper_everything() -> None:
    assert chosen(select(ChangedFile(path=A_TEST, registered=True, deleted=True))) == []
    assert chosen(select(ChangedFile(path=A_TEST, deleted=True))) == ALL


def test_a_disabled_test_or_one_of_no_suite_here_selects_nothing_and_says_so() -> None:
    off = discovery([registration(A_TEST, disabled="broken"), registration(B_TEST, "stage-x", backend="amd")])
    for path in (A_TEST, B_TEST):
        selection = select(ChangedFile(path=path, registered=True), tests=off)
        assert chosen(selection) == []
        assert "disabled" in selection.nothing[0].why


def test_single_tests_add_up_and_a_whole_suite_stays_whole() -> None:
    one, two = ChangedFile(path=A_TEST, registered=True), ChangedFile(path=B_TEST, registered=True)
    both = discovery([registration(A_TEST), registration(B_TEST)])
    assert select(one, two, tests=both).choices[STAGE_A].tests == frozenset({A_TEST, B_TEST})
    whole = row("ci/catalog/stages.toml", "suite", name=STAGE_A)
    for files in ((one, whole), (whole, one)):
        choice = select(*files, tests=both).choices[STAGE_A]
        assert choice.tests is None
        assert len(choice.reasons) == 2


@pytest.mark.parametrize(
    ("file", "suites", "tests"),
    [
        (row("ci/catalog/bounds.toml", "bound", test=A_TEST, metric="x"), [STAGE_A, FOUR_GPU], {A_TEST}),
        (row("ci/catalog/bounds.toml", "bound", test=[A_TEST, B_TEST], metric="x"), [STAGE_A, STAGE_B_SMALL, FOUR_GPU], None),
        (row("ci/catalog/quarantine.toml", "quarantine", test=f"{B_TEST}::test_x[1]"), [STAGE_B_SMALL], {B_TEST}),
        (row("ci/catalog/environment.toml", "test_env", test=B_TEST), [STAGE_B_SMALL], {B_TEST}),
        (row("ci/catalog/models.toml", "model", id="some/model"), [STAGE_B_SMALL], {B_TEST}),
        (row("ci/catalog/capabilities.toml", "capability", id="extra"), [STAGE_B_SMALL], {B_TEST}),
    ],
)  # fmt: skip
def test_a_row_of_tests_selects_those_that_use_it(
    file: ChangedFile, suites: list[str], tests: set[str] | None
) -> None:
    asking = replace(TESTS, requirements={B_TEST: Requirements(asks=("extra",))})
    selection = select(file, tests=asking, model_users={"some/model": (B_TEST,)})
    assert chosen(selection) == suites
    if tests is not None:
        assert {choice.tests for choice in selection.choices.values()} == {frozenset(tests)}


def test_a_stand_in_selects_the_tests_of_its_models() -> None:
    model = next(iter(catalog().models.values()))
    file = row("ci/catalog/models.toml", "stand_in", id=model.stand_in)
    assert chosen(select(file, model_users={model.id: (B_TEST,)})) == [STAGE_B_SMALL]


@pytest.mark.parametrize(
    ("file", "suites"),
    [
        (row("envs/stage_c.toml", "FOUR_GPU"), [FOUR_GPU]),
        (row("envs/base.toml", "BASE"), ALL),
        (row("ci/catalog/stages.toml", "suite", name=KERNELS), [KERNELS]),
        (row("ci/catalog/stages.toml", "suite", name="gone"), []),
        (row("ci/catalog/stages.toml", "preflight", id="all-reduce"), [EIGHT_GPU]),
        (row("ci/catalog/stages.toml", "retry", verdict="infra"), [FOUR_GPU]),
        (row("ci/catalog/stages.toml", "retry", verdict="device", attempts=2), ALL),
        (row("ci/catalog/stages.toml", "stage", id="stage-a-amd"), [STAGE_A]),
        (row("ci/catalog/environment.toml", "secret", words=["X"]), ALL),
        (row("ci/catalog/bounds.toml", "surprise"), ALL),
    ],
)
def test_a_row_of_suites_selects_those(file: ChangedFile, suites: list[str]) -> None:
    assert chosen(select(file)) == suites


def test_an_env_set_of_a_test_selects_that_test() -> None:
    own = next(row for row in catalog().test_envs if "big_model.FP4" in row.sets)
    tests = discovery([registration(own.test, NIGHTLY, nightly=True)])
    selection = select(row("envs/big_model.toml", "FP4"), tests=tests)
    assert chosen(selection) == [NIGHTLY]
    assert selection.choices[NIGHTLY].tests == frozenset({own.test})


def test_a_table_that_can_t_be_read_selects_everything() -> None:
    broken = ChangedFile(path="ci/catalog/bounds.toml", rows_problem="not TOML")
    assert chosen(select(broken)) == ALL


def test_comments_in_a_table_select_nothing() -> None:
    selection = select(ChangedFile(path="envs/base.toml", rows=()))
    assert chosen(selection) == []
    assert "layout or comments" in selection.nothing[0].why


def test_both_states_of_a_changed_row_count_and_order_does_not() -> None:
    before = '# a\n[[bound]]\ntest = "a"\nlimit = 1\n[[bound]]\ntest = "b"\nday = 2026-01-01\n'
    after = '[[bound]]\ntest = "b"\nday = 2026-01-01\n[[bound]]\ntest = "a"\nlimit = 2\n'
    assert [dict(change.row) for change in changed_rows(before, after)] == [
        {"test": "a", "limit": 1},
        {"test": "a", "limit": 2},
    ]
    assert [change.table for change in changed_rows("", "[BASE]\nX = 1\n")] == ["BASE"]
    with pytest.raises(ValueError, match="Expected"):
        changed_rows("", "x")


@pytest.mark.parametrize(
    ("path", "suites"),
    [
        ("python/sglang/srt/models/llama.py", DEFAULT),
        ("test/lm_eval_configs/x.yaml", DEFAULT),
        ("kernels/csrc/x.cu", [name for name in ALL if name != JIT]),
        ("python/sglang/jit/x.py", [name for name in ALL if name != KERNELS]),
        ("python/sglang/other/x.py", []),
        ("docs/index.md", []),
        (".github/workflows/pr-test-npu.yml", []),
        (".github/workflows/pr-test-amd.yml", DEFAULT),
        ("docker/rocm.Dockerfile", ALL),
        ("3rdparty/new/x", ALL),
    ],
)
def test_rules_of_an_sglang_tree_add_up(path: str, suites: list[str]) -> None:
    assert chosen(select(ChangedFile(path=path), tree="sglang")) == suites


def test_a_test_of_sglang_for_other_hardware_selects_nothing() -> None:
    file = ChangedFile(path="test/registered/models/test_cuda_only.py", registered=True)
    assert chosen(select(file, tree="sglang")) == []


@pytest.mark.parametrize(
    ("pattern", "path", "fit"),
    [
        ("docs/**", "docs/a/b.md", True),
        ("docs/**", "docs", False),
        ("docs/**", "xdocs/a", False),
        ("**/x.py", "x.py", True),
        ("**/x.py", "a/b/x.py", True),
        ("a/**/x.py", "a/x.py", True),
        ("*.md", "a/b.md", False),
        ("a.b", "axb", False),
        ("ci/*.toml", "ci/a\n.toml", True),
    ],
)
def test_patterns(pattern: str, path: str, fit: bool) -> None:  # noqa: FBT001
    assert fits(pattern, path) is fit


NAMES = st.text(alphabet=string.ascii_lowercase + "._-*", min_size=1, max_size=4)


@given(NAMES, st.text(alphabet=string.ascii_lowercase + "._-", min_size=1, max_size=6))
def test_a_star_is_the_shells(pattern: str, name: str) -> None:
    if pattern != "**":
        assert fits(pattern, name) is fnmatch.fnmatchcase(name, pattern.replace("**", "*"))


PATHS = st.sampled_from(
    ["docs/a.md", "ci/x.py", A_TEST, B_TEST, "envs/base.toml", "Makefile", "test/unit/test_x.py", "README.md"]
)


@given(st.lists(PATHS, max_size=5), st.lists(PATHS, max_size=3))
def test_more_changes_never_select_less(some: list[str], more: list[str]) -> None:
    def files(paths: list[str]) -> list[ChangedFile]:
        return [ChangedFile(path=path, registered=path in (A_TEST, B_TEST)) for path in paths]

    small, large = select(*files(some)), select(*files([*some, *more]))
    for name, choice in small.choices.items():
        wider = large.choices[name].tests
        assert wider is None or (choice.tests is not None and choice.tests <= wider)
    assert all(choice.reasons for choice in large.choices.values())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (row("ci/catalog/capabilities.toml", "capability", id="no-such"), "capability[no-such]"),
        (row("ci/catalog/bounds.toml", "bound", test=A_TEST, metric="x"), f"bound[{A_TEST}]"),
        (row("ci/catalog/stages.toml", "suite", name=STAGE_A), "suite"),
    ],
)
def test_a_reason_names_the_row_that_changed(file: ChangedFile, name: str) -> None:
    selection = select(file, tests=TESTS)
    reasons = [reason for choice in selection.choices.values() for reason in choice.reasons]
    assert any(name in f"{reason.rule} {reason.why}" for reason in (*reasons, *selection.nothing))
