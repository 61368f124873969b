"""The summary in Markdown."""

import re

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from ci.catalog.limits import ReportLimits
from ci.record.fold import fold
from ci.report.final.summary import summary_md
from ci.report.log_tail import LogTails
from ci.report.text import one_line, strip_ansi, visible
from support.records import EVENTS, NASTY, ended, record_of, run_events
from support.report_texts import Page, full_of, squeezed, texts

# What GitHub's Markdown adds to CommonMark, as far as it can change text.
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.fixture(scope="module")
def tails(report_limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=report_limits.tail_lines)


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
