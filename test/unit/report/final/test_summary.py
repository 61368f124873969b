"""The summary in Markdown."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from ci.catalog.limits import ReportLimits
from ci.record.fold import fold
from ci.record.merge import merge
from ci.report.final.summary import summary_md
from ci.report.log_tail import LogTails
from ci.report.text import one_line, strip_ansi, visible
from support.merged_runs import shard_run
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
        limits = replace(report_limits, summary_bytes=report_limits.summary_bytes // 4)
        long = "<\U0001f600>" * 300
        tests = {f"test_{number}.py": [ended("failed", "infra", evidence=(long,))] for number in range(150)}
        text = summary_md(fold(run_events(tests)), tails=tails, limits=limits)
        assert 0.9 * limits.summary_bytes < len(text.encode()) <= limits.summary_bytes
        (counted,) = re.findall(
            r"_Left out, GitHub shows 1 MiB of a step: (.*)\. report.html has all\._\n\Z", text
        )
        shown = text.count("<details><summary>❌")
        assert counted == f"{150 - shown} details of attempts"
        assert text.count("| ❌ failed | <code>test&#95;") + text.count("| ❌ failed | <code>test_") == 150
        Page(MARKDOWN.render(text))

    def test_the_result_comes_first_then_a_row_for_each_failure_and_the_command_that_repeats_them(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        text = summary_md(record_of("stage-b"), tails=tails, limits=report_limits)
        assert text.startswith("## ❌ stage-b-amd: tests failed\n")
        page = Page(MARKDOWN.render(text.partition("Repeat it:")[0]))
        rows = page.texts["tr"][1:]
        assert len(rows) == 4
        assert [row.strip()[0] for row in rows] == ["❌", "❌", "❌", "🔁"]
        assert any("gsm8k.accuracy is 0.745, the bound for mi300x is >= 0.78" in row for row in rows)
        line = "nox -s stage_b_amd -- --suite 1-gpu-small --test test/registered/moe/test_fused_moe.py"
        assert f"\n```sh\n{line}" in text.partition("Repeat it:")[2][:200]

    def test_details_are_closed_and_every_command_is_a_block(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        text = summary_md(record_of("stage-b"), tails=tails, limits=report_limits)
        assert "<details>" in text
        assert "<details open" not in text
        for line in text.splitlines():
            assert not line.startswith("Repeat it: ")
        # the fence of a command that holds one is longer
        record = fold(run_events({"a.py": [ended("failed", "product")]}, command="nox -s x -- --env A=```"))
        page = Page(MARKDOWN.render(summary_md(record, tails=tails, limits=report_limits)))
        assert any("A=```" in code for code in page.texts["pre"])

    def test_a_merged_report_shows_its_runs_and_what_a_better_split_would_have_saved(
        self, report_limits: ReportLimits, tails: LogTails
    ) -> None:
        failed = {"test/registered/x/test_11.py": [ended("failed", "product", duration_s=30)]}
        runs = [shard_run(1, attempts=failed), shard_run(2)]
        text = summary_md(merge(runs, None).record, tails=tails, limits=report_limits)
        page = Page(MARKDOWN.render(text))
        shown = "\n".join(page.texts["p"] + page.texts["td"] + page.texts["li"])
        assert "outside the tests" in shown
        assert "stage-b-test-1-gpu-small-amd: longest shard 1/3" in shown
        assert "the same tests split into 2 shards longest first" in shown
        assert "without 3/3" in shown
        assert "no run of shard 3/3 was found" in shown
        lines = [
            line for line in text.splitlines() if line.startswith("nox -s stage_b_amd -- --suite 1-gpu-small")
        ]
        assert any("--test test/registered/x/test_11.py" in line for line in lines)
