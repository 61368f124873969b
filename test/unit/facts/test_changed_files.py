"""What git says has changed since a base."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.facts.changed_files import changes_since
from ci.plan.jobs import Changes
from support.files import git
from support.planning import STAGE_B_SMALL, catalog, discovery, registration

A_TEST = "test/registered/amd/test_a.py"
B_TEST = "test/registered/amd/test_b.py"
FOUR_GPU, EIGHT_GPU, NIGHTLY = (
    "stage-c-test-4-gpu-amd",
    "stage-c-test-8-gpu-amd",
    "nightly-amd-8-gpu-west-big-flash",
)
TESTS = discovery([registration(A_TEST), registration(B_TEST, STAGE_B_SMALL), registration(A_TEST, FOUR_GPU)])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with a base on `main` and a branch on top."""
    for name, text in {
        "README.md": "x\n",
        "envs/base.toml": '[BASE]\nA = { value = "1", why = "w" }\n',
        A_TEST: 'register_amd_ci(est_time=1, suite="s")\nif __name__ == "__main__":\n    main()\n',
        "test/registered/amd/helper.py": "x = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "base")
    git(tmp_path, "checkout", "-q", "-b", "topic")
    return tmp_path


def since(tree: Path, base: str, of: Catalog | None = None) -> Changes:
    return changes_since(tree, base, "--base", kind="own", catalog=of or catalog(), tests=TESTS)


@pytest.mark.processes
def test_git_says_what_has_changed_since_the_branch_left(tree: Path) -> None:
    git(tree, "mv", A_TEST, B_TEST)
    git(tree, "mv", "README.md", "Größe \t.md")
    (tree / "envs/base.toml").write_text('[BASE]\nA = { value = "2", why = "w" }\n')
    git(tree, "rm", "-q", "test/registered/amd/helper.py")
    git(tree, "commit", "-q", "-a", "-m", "change")
    git(tree, "checkout", "-q", "main")
    (tree / "later").write_text("on main alone\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "later")
    git(tree, "checkout", "-q", "topic")
    found = {file.path: file for file in since(tree, "main").files}
    assert list(found) == [
        "Größe \t.md",
        "README.md",
        "envs/base.toml",
        "test/registered/amd/helper.py",
        A_TEST,
        B_TEST,
    ]
    assert (found[A_TEST].deleted, found[A_TEST].registered) == (True, True)
    assert (found[B_TEST].deleted, found[B_TEST].registered) == (False, True)
    assert not found["test/registered/amd/helper.py"].registered
    rows = found["envs/base.toml"].rows
    assert rows is not None
    assert [change.row["A"]["value"] for change in rows] == ["1", "2"]


@pytest.mark.processes
def test_what_is_not_committed_is_counted_and_not_looked_at(tree: Path) -> None:
    (tree / "README.md").write_text("y\n")
    (tree / "new").write_text("z\n")
    found = since(tree, "main")
    assert found.files == ()
    assert found.uncommitted == 2


@pytest.mark.processes
@pytest.mark.parametrize("base", ["", "gone", "--output=x", "$(id)"])
def test_a_base_that_can_t_be_used_is_unknown_with_a_reason(tree: Path, base: str) -> None:
    found = since(tree, base)
    assert found.unknown
    assert found.files == ()
    assert not list(tree.glob("x*"))


@pytest.mark.processes
def test_a_broken_table_says_why_it_can_t_be_compared(tree: Path) -> None:
    (tree / "envs/base.toml").write_text("[BASE\n")
    git(tree, "commit", "-q", "-a", "-m", "break")
    (file,) = since(tree, "main").files
    assert file.rows is None
    assert file.rows_problem
