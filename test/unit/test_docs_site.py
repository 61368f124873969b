"""What the builder of the documentation's site makes of Zensical's words and of a built page."""

from pathlib import Path

from support.docs_site import issues, loaded_from_elsewhere

SAID = """Build started
\x1b[33mWarning:\x1b[0m page does not exist
    \x1b[38;5;246m╭\x1b[0m\x1b[38;5;246m─\x1b[0m\x1b[38;5;246m[\x1b[0m sessions.md:16:90 \x1b[38;5;246m]\x1b[0m
 \x1b[38;5;246m16 │\x1b[0m [x](y.md)
\x1b[33mWarning:\x1b[0m anchor does not exist
   ╭─[ b.md:5:16 ]
2 issues found
Traceback (most recent call last):
RuntimeError: Aborted because --strict flag is set
"""


def test_each_issue_is_a_line_with_its_place() -> None:
    assert issues(SAID) == [
        "docs/sessions.md:16:90: page does not exist",
        "docs/b.md:5:16: anchor does not exist",
    ]
    assert issues("Build started\nNo issues found\n") == []


def test_what_a_browser_would_load_from_another_host_is_found_and_a_readers_link_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "index.html").write_text(
        '<link rel="canonical" href="https://a.example/"><a href="https://b.example/">b</a>'
        '<link rel="stylesheet" href="//c.example/c.css"><img src="images/x.svg"><script src="assets/x.js"></script>'
        '<script src="https://d.example/d.js"></script><p style="background: url(https://e.example/e.png)">'
    )
    (tmp_path / "x.css").write_text(
        '@import "https://f.example/f.css"; a { background: url("data:image/png;x") }'
    )
    found = {what for _, what in loaded_from_elsewhere(tmp_path)}
    assert found == {
        "//c.example/c.css",
        "https://d.example/d.js",
        "https://e.example/e.png",
        "https://f.example/f.css",
    }
