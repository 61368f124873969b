"""The report as one page."""

import base64
import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.catalog.limits import ReportLimits
from ci.record.fold import fold
from ci.record.model import Attempt
from ci.record.values import GithubRun
from ci.report.final.html import html_report
from ci.report.log_tail import LogTails
from ci.report.text import one_line, strip_ansi, visible
from support.records import EVENTS, attempt_lists, ended, record_of, run_events
from support.report_texts import Page, full_of, squeezed, texts


@pytest.fixture(scope="module")
def tails(report_limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=report_limits.tail_lines)


class TestPage:
    @settings(max_examples=60)
    @given(words=texts)
    def test_text_is_shown_and_never_an_element(self, tails: LogTails, words: str) -> None:
        page = Page(html_report(full_of(words), tails=tails))
        assert all(link.startswith(("#", "data:image/svg+xml,")) for link in page.links)
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
            link.startswith(("https://github.com/sgl-project/sglang/actions/runs/", "#", "data:", "logs/"))
            for link in page.links
        )
        assert not re.search(r"url\(|@import|<img|fetch\(", source)
        assert "default-src 'none'" in source

    def test_each_link_in_the_page_has_its_target(self, tails: LogTails) -> None:
        source = html_report(record_of("stage-b"), tails=tails)
        targets = set(re.findall(r' id="([^"]+)"', source))
        assert {link[1:] for link in Page(source).links if link.startswith("#")} <= targets

    def test_the_only_script_that_may_run_is_the_one_at_its_end(self, tails: LogTails) -> None:
        source = html_report(record_of("stage-b"), tails=tails)
        (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in source

    def test_a_link_that_is_not_a_web_address_is_only_text(self, tails: LogTails) -> None:
        github = GithubRun(event="pull_request", run_url="javascript:alert(1)")
        record = fold(run_events({"a.py": [ended("passed", "passed")]}, github=github))
        page = Page(html_report(record, tails=tails))
        assert not any("javascript" in link for link in page.links)
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
            r'<i class="(passed|failed|skipped|xfailed)(?: critical)?" style="left:([\d.]+)%;width:([\d.]+)%"',
            source,
        )
        assert len(bars) == 9
        longest = max(bars, key=lambda bar: float(bar[2]))
        # 1800 of 3058 seconds
        assert longest[0] == "failed"
        assert float(longest[2]) == pytest.approx(100 * 1800 / 3058, abs=1)
