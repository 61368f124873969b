"""The how-to pages that change this repository, followed word for word in a copy of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import COPIED, REPOSITORY
from support.how_to import blocks, follow

PAGES = sorted((REPOSITORY / "docs/how-to").glob("*.md"))
CHANGING = [page for page in PAGES if any(block.title for block in blocks(page.read_text()))]
# runs of tests take minutes, and have tests of their own; so have the linters
LEFT_OUT = r"nox -s stage_\w+ -- (?!.*--(dry-run|list))|nox -s lint$"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone: the files that the pages and their commands use."""
    folder = tmp_path / "checkout"
    for name in (*COPIED, "docs", "zensical.toml", "inv"):
        source, target = REPOSITORY / name, folder / name
        if source.is_dir():
            left_out = shutil.ignore_patterns("data", "unit", "integration", "faults")
            shutil.copytree(source, target, ignore=left_out)
        else:
            shutil.copy(source, target)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder))
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        ("commit", "-q", "-m", "a"),
        ("commit", "-q", "-m", "b", "--allow-empty"),
    ):
        subprocess.run([*git, *words], check=True)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A person's, with a `nox` that uses the environments that are there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shim = folder / "nox"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m nox --envdir {REPOSITORY / ".nox"} "$@"\n')
    shim.chmod(0o755)
    outer = ("NOX", "UV_", "VIRTUAL_ENV", "PYTEST", "PYTHON", "AMD_CI", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    # the pages' rows have dates: they are followed on the day on which they were written
    fixed = {"AMD_CI_REGISTRY": "127.0.0.1:9", "AMD_CI_TODAY": "2026-11-26"}
    return {**kept, "PATH": f"{folder}{os.pathsep}{kept['PATH']}", **fixed}


def test_there_are_pages_that_change_something() -> None:
    assert len(CHANGING) >= 7


@pytest.mark.parametrize("page", CHANGING, ids=lambda page: page.stem)
def test_a_page_works_word_for_word(page: Path, checkout: Path, environ: dict[str, str]) -> None:
    assert list(follow(page.read_text(), checkout, environ, leave_out=LEFT_OUT)) == []
