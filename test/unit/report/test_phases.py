"""The executor's phases: folded into the record, shown while they go on, and in every report."""

import io
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Verdict
from ci.record.events import Event, ExecutorFailed, PhaseEnded, PhaseProgress, PhaseStarted
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.record.values import PhaseOutcome
from ci.report.console import Console, open_console
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.tables import tables
from ci.report.live.github import ActionsView
from ci.report.live.progress import LiveRun, phase_words
from ci.report.live.terminal import TerminalView, draw
from ci.report.live.views import LogView
from ci.report.log_tail import LogTails
from ci.report.text import size
from support.records import EVENTS, NASTY, record_of, run_started

GIB = 2**30
TEST = "test/registered/test_a.py"


def begin(phase: str, text: str = "") -> PhaseStarted:
    return PhaseStarted(phase=phase, text=text)


def go_on(phase: str, done: float | None, total: float | None = None, **more: Any) -> PhaseProgress:
    event = PhaseProgress(phase=phase, text="docker.io", done=done, total=total, unit="bytes")
    return replace(event, **more)


def end(phase: str, outcome: str = "ok", text: str = "", **more: Any) -> PhaseEnded:
    event = PhaseEnded(phase=phase, outcome=PhaseOutcome(outcome), duration_s=1.5, text=text)
    return replace(event, **more)


def broken(verdict: str, *problems: str) -> ExecutorFailed:
    return ExecutorFailed(
        what="it broke",
        cause="because",
        then="do that",
        problems=problems,
        verdict=Verdict.of_name(verdict),
    )


def tails(limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=limits.tail_lines)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3.25 * 2**20, "3.25 MiB"),
        (23.1 * GIB, "23.1 GiB"),
        (2e15, "1862645 GiB"),
    ],
)
def test_bytes_are_reported_with_three_digits(count: float, words: str) -> None:
    assert size(count) == words


class TestProgress:
    @pytest.mark.parametrize(
        ("event", "words"),
        [
            (
                go_on("pull", 3 * GIB, 23 * GIB, rate=112 * 2**20),
                "docker.io: 3 GiB of 23 GiB (13 %), 112 MiB/s",
            ),
            (go_on("pull", 5 * GIB), "docker.io: 5 GiB"),
            (go_on("x", 3, 7, unit=""), "docker.io: 3 of 7 (42 %)"),
            (go_on("x", None), "docker.io"),
            (go_on("pull", 9, 7), "docker.io: 9 B of 7 B (100 %)"),
        ],
    )
    def test_in_words(self, event: PhaseProgress, words: str) -> None:
        assert phase_words(event) == words

    def test_a_log_gets_a_line_now_and_then(self, report_limits: ReportLimits) -> None:
        now_s = 1000.0
        stream = io.StringIO()
        view = LogView(stream, limits=report_limits, clock=lambda: now_s)
        view.show(run_started([TEST]))
        view.show(begin("pull", "image"))
        for second in range(60):
            now_s = 1000.0 + second
            view.show(go_on("pull", second * GIB, 60 * GIB))
        shown = [line for line in stream.getvalue().splitlines() if "... pull" in line]
        assert len(shown) == 60 // report_limits.progress_every_s - 1
        assert "15 GiB of 60 GiB (25 %)" in shown[0]

    def test_a_terminal_has_a_bar_with_bytes_and_rate(self) -> None:
        live = LiveRun(lambda: 0.0)
        for event in (
            run_started([TEST]),
            begin("pull", "rocm/sgl-dev"),
            go_on("pull", 30 * GIB, 60 * GIB, rate=GIB),
        ):
            live.take(event)
        _, row = draw(live, width=100)
        assert re.match("  pull  ━{8}─{8}  0:00  ", row.plain)
        assert "30 GiB of 60 GiB (50 %), 1 GiB/s" in row.plain
        live.take(end("pull"))
        assert len(draw(live, width=100)) == 1

    def test_a_terminal_scrolls_the_end_of_a_phase(self, report_limits: ReportLimits) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        stream = Terminal()
        console = open_console({"TERM": "xterm", "COLUMNS": "100"}, json=False, stdout=stream)
        view = TerminalView(console, limits=report_limits, clock=lambda: 0.0)
        for event in (run_started([TEST]), begin("pull"), end("pull", "warned", "the mirror refused")):
            view.show(event)
        view.close()
        assert "WARNING pull in 1.5 s: the mirror refused" in stream.getvalue()


class TestActions:
    def acted(self, events: Iterable[Event], limits: ReportLimits) -> list[str]:
        stream = io.StringIO()
        view = ActionsView(stream, limits=limits, clock=lambda: 0.0, tails=tails(limits))
        for event in events:
            view.show(event)
        view.close()
        return stream.getvalue().splitlines()

    def test_a_warning_is_annotated_and_its_details_folded(self, report_limits: ReportLimits) -> None:
        lines = self.acted(
            [
                run_started([TEST]),
                begin("health-before"),
                end("health-before", "warned", "busy", details=("by 4242",)),
            ],
            report_limits,
        )
        assert any(line.startswith("::group::") and "WARNING health-before" in line for line in lines)
        assert "::warning title=health-before%3A warning::busy%0Aby 4242" in lines

    def test_every_problem_is_in_the_annotation(self, report_limits: ReportLimits) -> None:
        lines = self.acted(
            [run_started([TEST]), broken("guard", "triton changed", "aiter shadowed")], report_limits
        )
        (error,) = (line for line in lines if line.startswith("::error"))
        assert "%0A- triton changed%0A- aiter shadowed%0A" in error

    @pytest.mark.parametrize("nasty", NASTY)
    def test_no_text_of_a_phase_becomes_a_command(self, nasty: str, report_limits: ReportLimits) -> None:
        events = [run_started([TEST]), begin("x", nasty), end("x", "failed", nasty, details=(nasty,))]
        ours = re.compile(r"::(group|endgroup|error|warning|notice|add-mask)")
        for line in self.acted(events, report_limits):
            assert not line.startswith("::") or ours.match(line)
            assert "##[" not in line


@pytest.mark.parametrize("nasty", NASTY)
def test_no_report_breaks_on_the_text_of_a_phase(nasty: str, report_limits: ReportLimits) -> None:
    events = [
        run_started([TEST]),
        begin("x", nasty),
        end("x", "failed", nasty, details=(nasty,), log="logs/guards.log"),
        broken("infra", nasty),
    ]
    record = fold(events)
    # the page's own one
    assert html_report(record, tails=tails(report_limits)).count("<script>") == 1
    assert b"<testsuites" in junit_xml(record, tails=tails(report_limits))
    row = next(
        line
        for line in summary_md(record, tails=tails(report_limits), limits=report_limits).splitlines()
        if line.startswith("| ❌ failed")
    )
    assert row.count("|") == 6
    console = Console(file=io.StringIO(), width=100)
    console.print(tables(record, tails=tails(report_limits), limits=report_limits))


def test_every_report_says_what_was_pulled_and_what_was_warned(report_limits: ReportLimits) -> None:
    record: RunRecord = record_of("container")
    for text in (
        summary_md(record, tails=tails(report_limits), limits=report_limits),
        html_report(record, tails=tails(report_limits)),
    ):
        for words in ("23.1 GiB", "11.2 GiB of 192 GiB VRAM are in use", "process 4242", "3 min 32 s"):
            assert words in text
    junit = junit_xml(record, tails=tails(report_limits)).decode()
    assert 'name="phase: pull" value="ok in 3 min 32 s' in junit
