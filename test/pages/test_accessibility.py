"""report.html for readers with other eyes and hands: axe finds nothing serious."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from support.report_pages import STORED, Open

WIDTHS = (360, 1440)


def findings(page: Page) -> list[str]:
    """What axe calls serious or critical, each with the first element."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_red_run(visit: Open, red: Path, scheme: str, width: int) -> None:
    page = visit(red, width=width, color_scheme=scheme)
    assert findings(page) == []
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", STORED)
def test_every_other_state(visit: Open, stored: dict[str, Path], name: str, scheme: str) -> None:
    page = visit(stored[name], color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert findings(page) == []
