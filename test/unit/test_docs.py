"""Documentation that leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = [
        match[0]
        for match in LINK.finditer(page.read_text(encoding="utf-8"))
        if not (target := page.parent / match[1]).exists() or (match[2] and match[2] not in anchors(target))
    ]
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    pages = [REPOSITORY / "README.md"]
    while pages:
        page = pages.pop().resolve()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        text = page.read_text(encoding="utf-8")
        pages += [
            page.parent / match[1] for match in LINK.finditer(text) if (page.parent / match[1]).is_file()
        ]
    decisions = {page for page in PAGES if page.parent.name == "decisions"}
    assert {page.resolve() for page in PAGES} - seen <= {page.resolve() for page in decisions}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_path_of_this_repository_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:ci|test|envs|requirements|docs)/[\w./-]*\w/?)`", text)
    assert [name for name in named if not (REPOSITORY / name).exists() and "x.py" not in name] == []


def test_every_page_is_in_the_sites_menu() -> None:
    """`nav` of zensical.toml: a page that is not there is found by links and by the search alone."""
    found = re.findall(r'"([^"]+\.md)"', (REPOSITORY / "zensical.toml").read_text(encoding="utf-8"))
    pages = (
        page.relative_to(REPOSITORY / "docs") for page in PAGES if page.is_relative_to(REPOSITORY / "docs")
    )
    assert sorted(found) == sorted(map(str, pages))


@pytest.mark.processes
@pytest.mark.live_rows
def test_the_schemas_and_reference_pages_are_what_the_code_says() -> None:
    command = [sys.executable, "-m", "ci", "docs", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    names = re.findall(r"^  - (\S+): ", done.stderr, flags=re.MULTILINE)
    # all of them in the first line, of which pytest makes its summary
    assert done.returncode == 0, f"stale: {', '.join(names)}; nox -s docs\n{done.stderr}"
