"""Pictures of a real red run, its page and its terminal, for the README: `nox -s pages -- --picture`."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from support.report_pages import red_run  # noqa: E402

PICTURE = ROOT / "docs/images/report.png"
TERMINAL = ROOT / "docs/images/stage-a.svg"


def main() -> None:
    """Draw them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = red_run(Path(folder))
        shutil.copy(run / "terminal.svg", TERMINAL)
        report = run / "report.html"
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000}, color_scheme="light")
        page.goto(f"file://{report}")
        page.screenshot(path=PICTURE)
        browser.close()
    for picture in (PICTURE, TERMINAL):
        print(f"{picture}: {picture.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
