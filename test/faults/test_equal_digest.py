"""Equal digests mean equal work: what git does not show and what stands on disk is part of a plan's digest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.files import ci, copy_repository, git, only_tests, registered

TEST = registered("def test_one() -> None:\n    assert True\n")
FILE = "test/registered/a/test_one.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    repository = copy_repository(tmp_path / "repository")
    only_tests(repository, {"a/test_one.py": TEST})
    return repository


def work(copy: Path) -> dict[str, object]:
    """The digest and the commit of a plan."""
    ended = ci("plan", "stage-a-amd", "--json", runs=copy.parent / "runs", cwd=copy)
    assert ended.code == 0, ended.text
    plan = json.loads(ended.out)
    return {"digest": plan["digest"], "commit": plan["work"]["commit"]}


def excluded_conftest(copy: Path) -> None:
    (copy / ".git/info/exclude").write_text("conftest.py\n")
    (copy / "test/registered/conftest.py").write_text(
        "def pytest_runtest_call(item): item.obj = lambda: None\n"
    )


def excluded_conftest_at_the_top(copy: Path) -> None:
    (copy / ".git/info/exclude").write_text("/conftest.py\n")
    (copy / "conftest.py").write_text("x = 1\n")


def ignored_package_in_the_place_of_another(copy: Path) -> None:
    (copy / ".git/info/exclude").write_text("json/\n")
    (copy / "test/json").mkdir()
    (copy / "test/json/__init__.py").write_text("x = 1\n")


def assumed_unchanged(copy: Path) -> None:
    git(copy, "update-index", "--assume-unchanged", FILE)
    (copy / FILE).write_text(TEST.replace("assert True", "assert False"))


def skipped_worktree(copy: Path) -> None:
    git(copy, "update-index", "--skip-worktree", "test/harness/bounds.py")
    path = copy / "test/harness/bounds.py"
    path.write_text(path.read_text() + "\nOTHER = 1\n")


def assumed_unchanged_agent(copy: Path) -> None:
    git(copy, "update-index", "--assume-unchanged", "ci/agent/verdict.py")
    path = copy / "ci/agent/verdict.py"
    path.write_text(path.read_text() + "\nOTHER = 1\n")


@pytest.mark.parametrize(
    "change",
    [
        excluded_conftest,
        excluded_conftest_at_the_top,
        ignored_package_in_the_place_of_another,
        assumed_unchanged,
        skipped_worktree,
        assumed_unchanged_agent,
    ],
    ids=lambda change: change.__name__,
)
def test_what_git_does_not_show_changes_the_digest(copy: Path, change: Callable[[Path], None]) -> None:
    before = work(copy)
    assert work(copy) == before
    change(copy)
    after = work(copy)
    assert after["commit"] == before["commit"], "git does not show it"
    assert after["digest"] != before["digest"]


def test_a_run_leaves_nothing_that_changes_the_digest(copy: Path) -> None:
    before = work(copy)
    assert ci("run", "stage-a-amd", runs=copy.parent / "runs", cwd=copy).code == 0
    assert work(copy) == before
