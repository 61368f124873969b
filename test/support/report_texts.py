"""Records full of odd text, and a page as a browser reads it."""

import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import strategies as st

from ci.record.events import Case, Metric
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.record.values import CaseOutcome, DisabledTest
from support.records import ended, odd_text, run_events

__all__ = ["Page", "full_of", "squeezed", "texts"]

_VOID = frozenset(
    {
        "meta",
        "br",
        "link",
        "img",
        "input",
        "hr",
    }
)


_ALLOWED = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "script",
        "body",
        "nav",
        "main",
        "header",
        "footer",
        "section",
        "form",
        "label",
        "input",
        "button",
        "select",
        "option",
        "output",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "dl",
        "dt",
        "dd",
        "a",
        "code",
        "pre",
        "kbd",
        "details",
        "summary",
        "span",
        "b",
        "i",
        "s",
        "bdi",
        "ul",
        "ol",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "br",
        # of Markdown
        "h4",
        "blockquote",
        "strong",
        "em",
    ]
)


class Page(HTMLParser):
    """The text of a page by element, with every element closed in order and none that we don't write."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.links: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, f"<{tag}> is not ours"
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in _VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, f"<{tag}/> is not ours"
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in dict.fromkeys(self.open):
            self.texts[tag][-1] += data


def full_of(words: str) -> RunRecord:
    """A record with the same text everywhere."""
    attempt = ended(
        "failed",
        "product",
        cases=(
            Case(case=words, outcome=CaseOutcome.FAILED, message=words, details=words, file=words, line=1),
        ),
        metrics=(Metric(metric=words, value=1.0, unit=words),),
        evidence=(words,),
        notes=(words,),
        rule=words or None,
        symptom=words,
    )
    disabled = (DisabledTest(suite="s", test=words, because=words),)
    everything: dict[str, Any] = {
        "commit": words,
        "command": words,
        "rehearsal": True,
        "rehearsal_because": words,
    }
    record = fold(run_events({words: [attempt]}, disabled=disabled, **everything))
    assert record.problems == ()
    return record


def squeezed(text: str) -> str:
    """Without spaces: a browser and Markdown fold them, and tables wrap."""
    return re.sub(r"\s+", "", text)


texts = st.one_of(odd_text, st.text(st.sampled_from("|`*_<>[]&\\#~:$@!-\n a1"), max_size=20))
