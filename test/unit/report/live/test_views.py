"""The live views: JSON, the terminal, and which one is opened."""

import io
import json
from pathlib import Path

import pytest

from ci.catalog.limits import ReportLimits
from ci.record.event_log import read_events
from ci.record.events import Output, Progress
from ci.report.console import Console, open_console, plain_console
from ci.report.live.github import ActionsView
from ci.report.live.progress import LiveRun
from ci.report.live.views import JsonView, LogView, TerminalView, View, Views, draw, open_view
from support.live_views import Clock, Terminal, play
from support.records import (
    EVENTS,
    NASTY,
    SUITE,
    attempt_events,
    ended,
    events_of,
    run_started,
)


class TestJson:
    def test_each_event_is_a_line_that_can_be_read_again(self, tmp_path: Path) -> None:
        events = events_of("rehearsal")
        stream = io.StringIO()
        play(JsonView(stream), events)
        (tmp_path / "events.jsonl").write_text(stream.getvalue())
        assert read_events(tmp_path / "events.jsonl") == events


def drawn(live: LiveRun, width: int = 100) -> str:
    stream = io.StringIO()
    plain_console(stream, width=width).print(draw(live, width=width))
    return stream.getvalue()


class TestTerminal:
    def test_what_runs_now_is_shown_with_times_counts_and_the_newest_line(self) -> None:
        clock = Clock()
        live = LiveRun(clock)
        live.take(run_started(["a.py", "b.py", "c.py"], hardware_class="mi300x", engine="sglang"))
        for event in attempt_events("a.py", ended("passed", "passed")):
            live.take(event)
        start, *_ = attempt_events("b.py", ended("passed", "passed"))
        live.take(start)
        lines = ("old", "\x1b[31mnew [red] line\x1b[0m", "  ")
        live.take(Output(suite=SUITE, test="b.py", attempt=1, lines=lines))
        live.take(Progress(suite=SUITE, test="b.py", attempt=1, text="gsm8k", done=5, total=16))
        clock.now_s += 4
        shown = drawn(live)
        assert "stage-a-amd  mi300x, sglang" in shown
        assert "1/3: 1 passed" in shown
        assert "b.py" in shown
        assert "4.0 s of 10 s" in shown
        assert "4.0 s gone, about 16 s left" in shown
        assert "gsm8k 5/16" in shown
        assert "new [red] line" in shown
        assert "REHEARSAL" not in shown

    def test_a_rehearsal_is_seen_in_the_titles_colour(self) -> None:
        for rehearsal, colour in ((True, "1;33"), (False, "1m")):
            live = LiveRun(Clock())
            live.take(run_started(["a.py"], rehearsal=rehearsal))
            stream = io.StringIO()
            Console(file=stream, width=100, force_terminal=True, color_system="standard").print(
                draw(live, width=100)
            )
            title = next(line for line in stream.getvalue().splitlines() if "stage-a-amd" in line)
            assert f"\x1b[{colour}" in title

    def test_a_test_over_its_estimate_says_by_how_much(self) -> None:
        clock = Clock()
        live = LiveRun(clock)
        live.take(run_started(["a.py"]))
        live.take(next(attempt_events("a.py", ended("passed", "passed", number=2, of=2))))
        clock.now_s += 25
        shown = drawn(live)
        assert "25 s of 10 s, 15 s over" in shown
        assert "attempt 2 of 2" in shown
        assert "about 0.0 s left" in shown

    def test_a_rehearsal_says_so_all_the_time(self) -> None:
        live = LiveRun(Clock())
        live.take(run_started(["a.py"], rehearsal=True))
        assert "REHEARSAL of stage-a-amd" in drawn(live)

    def test_finished_tests_stay_on_the_screen(self, report_limits: ReportLimits) -> None:
        stream = Terminal()
        console = open_console({"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}, stdout=stream)
        play(TerminalView(console, limits=report_limits, clock=Clock()), events_of("stage-b"))
        shown = stream.getvalue()
        assert "PASS test/registered/amd/test_lora_tp.py in 4 min 38 s" in shown
        assert "FLAKY test/registered/amd/test_vision_openai_server.py" in shown
        # the cursor is shown again
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")

    @pytest.mark.parametrize("words", NASTY)
    def test_markup_in_a_tests_name_is_shown_as_it_is(self, words: str) -> None:
        live = LiveRun(Clock())
        live.take(run_started([words]))
        live.take(next(attempt_events(words, ended("passed", "passed"))))
        shown = drawn(live, width=200)
        assert "\x1b" not in shown
        assert "\x00" not in shown
        if words.startswith("[red]"):
            assert "[red]no colour[/red]" in shown


class TestOpening:
    def opened(
        self, limits: ReportLimits, environ: dict[str, str], *, json: bool = False
    ) -> tuple[View, ...]:
        view = open_view(
            environ,
            json=json,
            run_dir=Path("/nowhere"),
            limits=limits,
            clock=Clock(),
            stdout=io.StringIO(),
            stderr=io.StringIO(),
        )
        view.close()
        return view._views if isinstance(view, Views) else (view,)

    def test_a_pipe_gets_the_log_and_actions_its_own(self, report_limits: ReportLimits) -> None:
        assert [type(view) for view in self.opened(report_limits, {})] == [LogView]
        assert [type(view) for view in self.opened(report_limits, {"GITHUB_ACTIONS": "true"})] == [
            ActionsView
        ]

    def test_json_has_standard_output_for_itself(self, report_limits: ReportLimits) -> None:
        stdout, stderr = io.StringIO(), io.StringIO()
        view = open_view(
            {"GITHUB_ACTIONS": "true"},
            json=True,
            run_dir=EVENTS,
            limits=report_limits,
            clock=Clock(),
            secrets=("s3cret",),
            stdout=stdout,
            stderr=stderr,
        )
        play(view, events_of("stage-b"))
        assert all(json.loads(line)["type"] for line in stdout.getvalue().splitlines())
        assert "PASS test/registered/amd/test_lora_tp.py" in stderr.getvalue()

    def test_a_terminal_gets_the_live_view_and_a_dumb_one_the_log(self, report_limits: ReportLimits) -> None:
        for term, kind in (("xterm", TerminalView), ("dumb", LogView)):
            view = open_view(
                {"TERM": term},
                json=False,
                run_dir=EVENTS,
                limits=report_limits,
                clock=Clock(),
                stdout=Terminal(),
            )
            view.close()
            assert isinstance(view, kind)
