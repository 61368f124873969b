"""Work trees of our own: made at a commit, removed at the end, and swept when their owner was killed."""

import json
from pathlib import Path

import pytest

from ci.errors import InfrastructureError, UsageError
from ci.repro.worktree import resolve_commit, sweep_trees, work_tree
from ci.system.file_lock import FileLock
from support.files import git

pytestmark = pytest.mark.processes  # git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet")
    for text in ("one", "two"):
        (path / "file").write_text(text)
        git(path, "add", "file")
        git(path, "commit", "--quiet", "-m", text)
    return path


def trees(repository: Path) -> int:
    return len(git(repository, "worktree", "list").splitlines())


def test_a_revision_is_its_full_hash_or_refused_with_the_way_to_it(repository: Path) -> None:
    assert resolve_commit(repository, "HEAD~1") == git(repository, "rev-parse", "HEAD~1")
    for name in ("nowhere", "--all", "HEAD:file"):
        with pytest.raises(UsageError) as caught:
            resolve_commit(repository, name)
        assert f"has no commit {name!r}" in caught.value.render()
        assert f"fetch origin {name}" in caught.value.render()


def test_a_tree_is_at_its_commit_beside_the_users_and_gone_at_the_end(
    repository: Path, tmp_path: Path
) -> None:
    with work_tree(repository, resolve_commit(repository, "HEAD~1"), tmp_path / "runs") as tree:
        assert (tree / "file").read_text() == "one"
        assert (repository / "file").read_text() == "two"
        assert sweep_trees(tmp_path / "runs") == (), "its owner is running"
        assert (tree / "file").exists()
        (tree / "new").write_text("what a run leaves")
    assert not tree.exists()
    assert trees(repository) == 1


def test_a_commit_that_git_does_not_have_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught, work_tree(repository, "0" * 40, tmp_path / "runs"):
        pytest.fail("a tree was handed out")
    assert f"git cannot make a work tree of {'0' * 40}" in caught.value.render()
    assert list((tmp_path / "runs/.trees").iterdir()) == []


def test_the_tree_of_a_killed_owner_is_swept_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    killed = runs / ".trees" / "killed"
    git(repository, "worktree", "add", "--quiet", "--detach", str(killed / "tree"), "HEAD")
    (killed / "owner.json").write_text(json.dumps({"repository": str(repository)}))
    for name, owner in {"being-made": None, "odd": "[]", "broken": "{", "other": "{}"}.items():
        (runs / ".trees" / name / "tree").mkdir(parents=True)
        if owner is not None:
            (runs / ".trees" / name / "owner.json").write_text(owner)
    running = runs / ".trees" / "running"
    running.mkdir()
    lock = FileLock()
    assert lock.take(running / "lock")
    (running / "owner.json").write_text(json.dumps({"repository": str(repository)}))
    assert sweep_trees(runs) == (killed / "tree",)
    lock.release()
    assert {path.name for path in (runs / ".trees").iterdir()} == {
        "being-made",
        "odd",
        "broken",
        "other",
        "running",
    }
    assert trees(repository) == 1


def test_a_folder_without_trees_has_none_to_sweep(tmp_path: Path) -> None:
    assert sweep_trees(tmp_path) == ()
