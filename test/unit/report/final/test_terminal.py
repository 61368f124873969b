"""The view in the terminal."""

import io
import re

import pytest
from hypothesis import given, settings

from ci.catalog.limits import ReportLimits
from ci.record.model import (
    RunRecord,
)
from ci.report.console import plain_console
from ci.report.final.terminal import final_view
from ci.report.log_tail import LogTails
from ci.report.repeat import repeat
from ci.report.text import one_line, strip_ansi, visible
from support.records import EVENTS, record_of
from support.report_texts import full_of, squeezed, texts


@pytest.fixture(scope="module")
def tails(report_limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=report_limits.tail_lines)


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
