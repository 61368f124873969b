"""The templates of pages, with what all of them may use."""

from pathlib import Path

import jinja2
from jinja2 import Environment, Template

from ci.report.text import one_line, strip_ansi

__all__ = ["PAGE_FILES", "Template", "page_environment"]

PAGE_FILES = Path(__file__).parent


def page_environment() -> Environment:
    """Values are escaped; the filter `line` makes one line of a text."""
    environment = Environment(
        loader=jinja2.FileSystemLoader(PAGE_FILES / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = lambda text: one_line(strip_ansi(text))
    environment.globals["style"] = (PAGE_FILES / "page.css").read_text(encoding="utf-8")
    return environment
