"""Text from outside in the summary, the page, the picture and the final table: shown, never obeyed."""

import io
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ci.catalog.limits import ReportLimits
from ci.record.events import GithubRun
from ci.record.fold import fold
from ci.record.model import (
    Attempt,
    CaseOutcome,
    CaseRecord,
    DisabledTest,
    MetricRecord,
    RunRecord,
)
from ci.report.console import plain_console
from ci.report.final.html import html_report
from ci.report.final.summary import summary_md
from ci.report.final.svg import picture
from ci.report.final.terminal import final_view
from ci.report.log_tail import LogTails
from ci.report.repeat import repeat
from ci.report.text import one_line, strip_ansi, visible
from support.records import EVENTS, NASTY, attempt_lists, ended, odd_text, record_of, run_events

# What GitHub's Markdown adds to CommonMark, as far as it can change text.
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

_VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})
# SVG in a page is closed like XML: the parser reports such elements as closed at once
_ALLOWED = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "p",
        "header",
        "h1",
        "h2",
        "h3",
        "h4",
        "div",
        "dl",
        "dt",
        "dd",
        "a",
        "code",
        "pre",
        "section",
        "details",
        "summary",
        "span",
        "b",
        "i",
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
        "svg",
        "line",
        "rect",
        "footer",
        "br",
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


@pytest.fixture(scope="module")
def tails(report_limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=report_limits.tail_lines)


def full_of(words: str) -> RunRecord:
    """A record with the same text everywhere."""
    attempt = ended(
        "failed",
        "product",
        cases=(
            CaseRecord(
                case=words, outcome=CaseOutcome.FAILED, message=words, details=words, file=words, line=1
            ),
        ),
        metrics=(MetricRecord(metric=words, value=1.0, unit=words),),
        evidence=(words,),
        notes=(words,),
        rule=words or None,
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


class TestSummary:
    @settings(max_examples=60)
    @given(words=texts)
    def test_text_comes_through_markdown_as_it_is(
        self, report_limits: ReportLimits, tails: LogTails, words: str
    ) -> None:
        page = Page(MARKDOWN.render(summary_md(full_of(words), tails=tails, limits=report_limits)))
        line, lines = one_line(strip_ansi(words)), visible(strip_ansi(words))
        assert page.links == []
        rows = page.texts["tr"]
        assert squeezed(f"1{line}") in squeezed("".join(rows))
        assert any(squeezed(line) in squeezed(code) for code in page.texts["code"]) or not line
        assert any(squeezed(lines) == squeezed(pre) for pre in page.texts["pre"])
        assert page.texts["h2"][0].startswith("❌ REHEARSAL of stage-a-amd")

    def test_a_row_of_a_table_has_as_many_cells_as_its_head(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        for words in NASTY:
            html = MARKDOWN.render(summary_md(full_of(words), tails=tails, limits=report_limits))
            for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
                widths = {
                    row.count("<td") + row.count("<th")
                    for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
                }
                assert len(widths) == 1

    def test_it_stays_below_githubs_limit_and_says_what_is_missing(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        long = "<\U0001f600>" * 300
        tests = {f"test_{number}.py": [ended("failed", "infra", evidence=(long,))] for number in range(600)}
        text = summary_md(fold(run_events(tests)), tails=tails, limits=report_limits)
        assert 0.9 * report_limits.summary_bytes < len(text.encode()) <= report_limits.summary_bytes
        assert re.search(r"_\d+ parts did not fit", text)
        Page(MARKDOWN.render(text))

    def test_the_result_comes_first_and_the_command_that_repeats_it(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        text = summary_md(record_of("stage-b"), tails=tails, limits=report_limits)
        assert text.startswith("## ❌ stage-b-amd: tests failed\n")
        assert (
            "nox -s stage_b_amd -- --suite 1-gpu-small --test test/registered/moe/test_fused_moe.py"
            in text[:600]
        )


class TestPage:
    @settings(max_examples=60)
    @given(words=texts)
    def test_text_is_shown_and_never_an_element(self, tails: LogTails, words: str) -> None:
        page = Page(html_report(full_of(words), tails=tails))
        assert page.links == []
        assert any(squeezed(visible(strip_ansi(words))) == squeezed(pre) for pre in page.texts["pre"])
        assert squeezed(one_line(strip_ansi(words))) in squeezed("".join(page.texts["code"]))

    @settings(max_examples=30)
    @given(tests=st.dictionaries(st.sampled_from(["a.py", "b.py"]), attempt_lists(), min_size=1))
    def test_any_attempts_make_a_whole_page(
        self, tails: LogTails, tests: dict[str, tuple[Attempt, ...]]
    ) -> None:
        Page(html_report(fold(run_events(tests)), tails=tails))

    @pytest.mark.parametrize("name", ["stage-b", "rehearsal", "lost-agent", "cancelled"])
    def test_it_needs_nothing_from_outside(self, tails: LogTails, name: str) -> None:
        source = html_report(record_of(name), tails=tails)
        page = Page(source)
        assert all(
            link.startswith("https://github.com/sgl-project/sglang/actions/runs/") for link in page.links
        )
        assert not re.search(r"url\(|@import|<script|<link|<img", source)
        assert "prefers-color-scheme: dark" in source

    def test_a_link_that_is_not_a_web_address_is_only_text(self, tails: LogTails) -> None:
        github = GithubRun(event="pull_request", run_url="javascript:alert(1)")
        record = fold(run_events({"a.py": [ended("passed", "passed")]}, github=github))
        page = Page(html_report(record, tails=tails))
        assert page.links == []
        assert "javascript:alert(1)" in "".join(page.texts["dd"])

    def test_a_rehearsal_says_so_above_everything(self, tails: LogTails) -> None:
        source = html_report(record_of("rehearsal"), tails=tails)
        page = Page(source)
        assert page.texts["title"][0].startswith("REHEARSAL of stage-a-amd")
        assert page.texts["p"][0].startswith("REHEARSAL because no GPU was found")
        assert page.texts["h1"][0].startswith("REHEARSAL of stage-a-amd")

    def test_attempts_are_drawn_where_they_were(self, tails: LogTails) -> None:
        source = html_report(record_of("stage-b"), tails=tails)
        bars = re.findall(
            r'<rect class="(passed|failed|skipped)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', source
        )
        assert len(bars) == 9
        longest = max(bars, key=lambda bar: float(bar[2]))
        # 1800 of 3066 seconds, and the last test's estimate ends 70 seconds after that
        assert longest[0] == "failed"
        assert float(longest[2]) == pytest.approx(1000 * 1800 / 3140, abs=15)


class TestPicture:
    @settings(max_examples=20)
    @given(words=texts)
    def test_it_is_xml_and_one_file(self, report_limits: ReportLimits, tails: LogTails, words: str) -> None:
        source = picture(full_of(words), tails=tails, limits=report_limits)
        root = ET.fromstring(source)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "url(http" not in source
        assert "@font-face" not in source

    def test_it_is_the_same_each_time(self, report_limits: ReportLimits, tails: LogTails) -> None:
        one, two = (picture(record_of("stage-b"), tails=tails, limits=report_limits) for _ in range(2))
        assert one == two
        assert "stage-b-amd" in one


class TestFinal:
    def shown(self, record: RunRecord, limits: ReportLimits, tails: LogTails, width: int = 120) -> str:
        stream = io.StringIO()
        plain_console(stream, width=width).print(final_view(record, tails=tails, limits=limits), crop=False)
        return stream.getvalue()

    @settings(max_examples=60)
    @given(words=texts)
    def test_text_is_shown_and_moves_no_cursor(
        self, report_limits: ReportLimits, tails: LogTails, words: str
    ) -> None:
        shown = self.shown(full_of(words), report_limits, tails)
        assert visible(shown) == shown
        assert squeezed(one_line(strip_ansi(words))) in squeezed(shown)

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_any_width_will_do(self, report_limits: ReportLimits, tails: LogTails, width: int) -> None:
        lines = self.shown(record_of("stage-b"), report_limits, tails, width).splitlines()
        commands = [line for line in lines if line.startswith("repeat it: ")]
        assert max(len(line) for line in lines if line not in commands) <= width
        assert commands[-1] == f"repeat it: {repeat(record_of('stage-b'))}", "one line, to be pasted"
        assert any("failed" in line for line in lines)

    def test_the_command_is_near_the_prompt(self, report_limits: ReportLimits, tails: LogTails) -> None:
        shown = squeezed_spaces(self.shown(record_of("stage-b"), report_limits, tails))
        assert f"repeat it: {repeat(record_of('stage-b'))}" in shown[-600:]


def squeezed_spaces(text: str) -> str:
    return re.sub(r"\s+", " ", text)
