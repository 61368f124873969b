"""Which commit a tree is at: the same name for the same content, and a reason when git does not say."""

from pathlib import Path

import pytest

from ci.facts.git import commit_of
from support.files import git

pytestmark = pytest.mark.processes


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a").write_text("1\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "base")
    return root


def test_a_clean_tree_is_its_commit(tree: Path) -> None:
    found = commit_of(tree)
    assert len(found.value) == 40
    assert str(tree) in found.source


def test_a_changed_tree_is_named_by_all_that_differs(tree: Path) -> None:
    clean = commit_of(tree).value
    names = []
    (tree / "a").write_text("2\n")
    names.append(commit_of(tree).value)
    assert commit_of(tree).value == names[0]
    assert "1 changed or untracked file" in commit_of(tree).source
    (tree / "new").write_text("x")
    names.append(commit_of(tree).value)
    assert "2 changed or untracked files" in commit_of(tree).source
    (tree / "new").write_text("y")
    names.append(commit_of(tree).value)
    (tree / "new").rename(tree / "other")
    names.append(commit_of(tree).value)
    assert len(set(names)) == len(names)
    assert {name.partition("+dirty.")[0] for name in names} == {clean}
    assert {len(name.partition("+dirty.")[2]) for name in names} == {12}


def test_an_untracked_link_to_nowhere_has_a_name_too(tree: Path) -> None:
    (tree / "link").symlink_to("nowhere")
    assert "+dirty." in commit_of(tree).value


def test_a_folder_in_a_repository_is_not_a_tree(tree: Path) -> None:
    (tree / "sub").mkdir()
    found = commit_of(tree / "sub")
    assert found.value == ""
    assert "is not the top of its git repository" in found.source


def test_without_a_repository_gits_reason_is_given(tmp_path: Path) -> None:
    found = commit_of(tmp_path)
    assert found.value == ""
    assert "not a git repository" in found.source


def test_without_git_that_is_the_reason(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree))
    assert "git: No such file" in commit_of(tree).source
