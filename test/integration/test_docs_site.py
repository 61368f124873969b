"""`nox -s docs` on a copy of this repository: the site is built, and what leads nowhere or is stale is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.docs_site import SITE, loaded_from_elsewhere
from support.files import COPIED, REPOSITORY


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the session reads."""
    for name in (*COPIED, "docs", "zensical.toml"):
        source, target = REPOSITORY / name, tmp_path / name
        if source.is_dir():
            left_out = shutil.ignore_patterns("data", "unit", "integration", "faults")
            shutil.copytree(source, target, ignore=left_out)
        else:
            shutil.copy(source, target)
    return tmp_path


def docs(checkout: Path, *words: str) -> tuple[int, str]:
    """How the session ended, and what it said."""
    outer = ("NOX", "UV_", "VIRTUAL_ENV", "PYTEST", "PYTHON", "AMD_CI")
    ended = subprocess.run(
        [sys.executable, "-m", "nox", "--envdir", str(REPOSITORY / ".nox"), "-s", "docs", "--", *words],
        cwd=checkout,
        env={name: value for name, value in os.environ.items() if not name.startswith(outer)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_the_site_is_built_and_loads_nothing_from_another_host(checkout: Path) -> None:
    code, shown = docs(checkout, "--check")
    assert code == 0, shown
    assert (checkout / SITE / "index.html").is_file()
    assert (checkout / SITE / "schemas/plan.json").is_file()
    assert list(loaded_from_elsewhere(checkout / SITE)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](no-such-page.md)", "page does not exist"),
        ("[x](sessions.md#no-such-heading)", "anchor does not exist"),
        ('<script src="https://example.org/x.js"></script>', "https://example.org/x.js"),
    ],
    ids=["link", "anchor", "script"],
)
def test_a_page_that_leads_nowhere_or_elsewhere_is_refused(checkout: Path, text: str, problem: str) -> None:
    with (checkout / "docs/glossary.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{text}\n")
    code, shown = docs(checkout)
    assert code == 1, shown
    assert "glossary" in shown
    assert problem in shown
    assert "Traceback" not in shown


def test_a_stale_file_is_9_and_then_written(checkout: Path) -> None:
    schema = checkout / "docs/schemas/plan.json"
    wanted = schema.read_text()
    schema.write_text(wanted.replace('"digest"', '"digset"', 1))
    code, shown = docs(checkout, "--check")
    assert code == 9, shown
    assert "docs/schemas/plan.json" in shown
    assert docs(checkout)[0] == 0
    assert schema.read_text() == wanted
