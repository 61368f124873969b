"""The site of `docs/`, built strictly: `nox -s docs` runs this in the environment that has Zensical.

A link or an anchor that leads nowhere is exit 1, and so is a page that would load something from another host.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

__all__ = ["SITE", "issues", "loaded_from_elsewhere", "main"]

SITE: Final = "site"

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_ISSUE: Final = re.compile(r"^\w+: (?P<what>.+)\n\s*╭─\[ (?P<where>\S+) \]", re.MULTILINE)
# what a browser loads by itself; a link that a reader follows is none of these
_LOADS: Final = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
_NOT_LOADED: Final = frozenset({"canonical", "alternate", "next", "prev"})  # by `rel` of <link>
_IN_CSS: Final = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


def issues(output: str) -> list[str]:
    """What Zensical reports, one line each: `docs/page.md:5:7: page does not exist`."""
    plain = _COLOUR.sub("", output)
    return [f"docs/{found['where']}: {found['what']}" for found in _ISSUE.finditer(plain)]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and _NOT_LOADED.intersection((values.get("rel") or "").split()):
            return
        self.loaded.append(values.get(_LOADS.get(tag, ""), "") or "")
        self.loaded += _IN_CSS.findall(values.get("style") or "")


def loaded_from_elsewhere(site: Path) -> Iterator[tuple[Path, str]]:
    """Every file of a built site that loads something from another host, and what."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            page = _Page()
            page.feed(path.read_text(encoding="utf-8"))
            found = page.loaded
        elif path.suffix == ".css":
            found = _IN_CSS.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        yield from ((path, each) for each in found if re.match(r"(?:https?:)?//", each))


def main() -> int:
    """Build the site of this repository; exit codes as those of `ci/errors.py`."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    problems = issues(built.stdout + built.stderr)
    if built.returncode and not problems:
        return _failed("the site cannot be built", [*built.stdout.splitlines(), *built.stderr.splitlines()])
    if problems:
        return _failed("links in docs/ lead nowhere", problems)
    foreign = [f"{path.relative_to(root)}: {what}" for path, what in loaded_from_elsewhere(root / SITE)]
    if foreign:
        return _failed("the site loads something from another host", foreign)
    pages = sum(1 for _ in (root / SITE).rglob("*.html"))
    sys.stdout.write(f"built: {SITE}/ ({pages} pages); to read it: python3 -m http.server -d {SITE}\n")
    return 0


def _failed(what: str, problems: list[str]) -> int:
    lines = [
        f"error (exit 1): {what}",
        *(f"  - {problem}" for problem in problems),
        "  next:  fix them, then: nox -s docs",
    ]
    sys.stderr.write("\n".join([*lines, ""]))
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
