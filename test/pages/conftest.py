"""A real Chromium and the pages to open in it. Every page is watched: it asks for nothing and complains of nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from support.report_pages import STORED, Open, large_page, red_run, stored_page

CHROMIUM = Path("/usr/bin/chromium")
_figures: list[str] = []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("these tests need Debian's chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # root has no sandbox
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real run that fails in many ways."""
    return red_run(tmp_path_factory.mktemp("red")) / "report.html"


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 500 tests with 3 attempts each."""
    path, took_s = large_page(tmp_path_factory.mktemp("large"))
    _figures.append(f"500 tests x 3 attempts: {path.stat().st_size:,} bytes, made in {took_s:.2f} s")
    return path


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of stored runs by name, with every state that a run can have."""
    folder = tmp_path_factory.mktemp("stored")
    return {name: stored_page(name, folder) for name in STORED}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    contexts = []
    wrong: list[str] = []

    def visit(
        path: Path, address: str = "", *, width: int = 1440, height: int = 900, **options: object
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", f"file://{path}"))
                else wrong.append(f"request: {request.url}")
            ),
        )
        page.goto(f"file://{path}{address}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Takes a line that is shown at the end."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _figures:
        terminalreporter.write_line(line)
