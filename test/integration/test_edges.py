"""The edge of the plan: what real git and real interpreters say."""

import os
import sys
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.errors import InfrastructureError, UsageError
from ci.facts.git import commit_of
from ci.facts.interpreters import find_engine
from support.files import git

SGLANG = load_catalog().engines["sglang"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.py").write_text("a = 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_a_clean_tree_is_at_its_commit(tree: Path) -> None:
    known = commit_of(tree)
    assert known.value == git(tree, "rev-parse", "HEAD")


def test_each_edit_is_a_commit_of_its_own_and_undoing_it_is_the_old_one(tree: Path) -> None:
    clean = commit_of(tree).value
    seen = {clean}
    for text in ("a = 2\n", "a = 3\n"):
        (tree / "a.py").write_text(text)
        known = commit_of(tree)
        assert known.value.startswith(f"{clean}+dirty.")
        assert "1 changed" in known.source
        seen.add(known.value)
    (tree / "a.py").write_text("a = 1\n")
    for text in ("x", "y"):
        (tree / "new ü.txt").write_text(text)
        seen.add(commit_of(tree).value)
    assert len(seen) == 5
    (tree / "new ü.txt").unlink()
    assert commit_of(tree).value == clean


def test_no_repository_and_a_folder_within_one_are_unknown_with_the_reason(
    tree: Path, tmp_path: Path
) -> None:
    (tree / "inner").mkdir()
    (tmp_path / "plain").mkdir()
    assert "not a git repository" in commit_of(tmp_path / "plain").source
    assert "is not the top" in commit_of(tree / "inner").source


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to somebody else, which only root can")
def test_a_checkout_that_someone_else_owns_is_unknown_because_git_refuses(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    os.chown(tree, 12345, 12345)
    os.chown(tree / ".git", 12345, 12345)
    known = commit_of(tree)
    assert known.value == ""
    assert "dubious ownership" in known.source


def python_in(folder: Path) -> Path:
    """A `python3` that is this one."""
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return folder / "python3"


def test_the_first_python_on_the_path_that_has_the_engine_is_taken(tmp_path: Path) -> None:
    """The package is a folder that would fail when imported: it is only looked for."""
    first, second = python_in(tmp_path / "one"), tmp_path / "two" / "python3"
    package = tmp_path / "site" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package.parent / "pytest.py").write_text("")
    second.parent.mkdir()
    # a launcher of the same interpreter with another module path, as two environments on one machine are
    second.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {first} "$@"\n')
    second.chmod(0o755)
    environ = {"PATH": f"/nonexistent:{first.parent}:{second.parent}"}
    fact = find_engine(SGLANG, given="", ours=False, environ=environ)
    assert fact is not None
    assert fact.python == str(second)
    assert find_engine(SGLANG, given="", ours=False, environ={"PATH": str(first.parent)}) is None


def test_an_interpreter_without_pytest_is_named_with_the_command_that_fixes_it(tmp_path: Path) -> None:
    (tmp_path / "site" / "sglang").mkdir(parents=True)
    (tmp_path / "site" / "sglang" / "__init__.py").write_text("")
    bare = tmp_path / "bin" / "python3"
    bare.parent.mkdir()
    # -S leaves out site-packages, and pytest with it
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {Path(sys.executable).resolve()} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(InfrastructureError, match="but not pytest") as caught:
        find_engine(SGLANG, given="", ours=False, environ={"PATH": str(bare.parent)})
    assert "-m pip install pytest" in caught.value.render()


@pytest.mark.parametrize(("text", "error"), [("#!/bin/sh\nexit 3\n", UsageError), ("no program", UsageError)])
def test_what_is_not_a_python_is_a_mistake_in_the_call(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    program = tmp_path / "python3"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(error, match="--python"):
        find_engine(SGLANG, given=str(program), ours=False, environ={"PATH": "/usr/bin:/bin"})


def test_a_python_without_the_engine_is_infrastructure(tmp_path: Path) -> None:
    python = python_in(tmp_path / "bin")
    with pytest.raises(InfrastructureError, match="no package 'sglang'"):
        find_engine(SGLANG, given=str(python), ours=False, environ={"PATH": "/usr/bin:/bin"})
