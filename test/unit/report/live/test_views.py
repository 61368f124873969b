"""What a person, a log's reader, GitHub's runner and a program see while a run goes on."""

import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.record.event_log import read_events
from ci.record.events import Event, Metric, Output, Progress, Retry, TestEnded
from ci.record.model import CaseOutcome, CaseRecord, EndReason
from ci.report.console import Console, open_console, plain_console
from ci.report.live.github import ActionsView, command, mask_commands
from ci.report.live.progress import LiveRun
from ci.report.live.views import JsonView, LogView, TerminalView, View, Views, draw, open_view
from ci.report.log_tail import LogTails
from support.records import (
    EVENTS,
    NASTY,
    SUITE,
    attempt_events,
    ended,
    events_of,
    odd_text,
    run_events,
    run_started,
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(view: View, events: Iterable[Event]) -> None:
    for event in events:
        view.show(event)
    view.close()


def logged(events: Iterable[Event], limits: ReportLimits, clock: Clock | None = None) -> list[str]:
    stream = io.StringIO()
    play(LogView(stream, limits=limits, clock=clock or Clock()), events)
    return stream.getvalue().splitlines()


def acted(events: Iterable[Event], limits: ReportLimits, secrets: tuple[str, ...] = ()) -> list[str]:
    stream = io.StringIO()
    tails = LogTails(EVENTS, lines=limits.tail_lines)
    play(ActionsView(stream, limits=limits, clock=Clock(), tails=tails, secrets=secrets), events)
    return stream.getvalue().splitlines()


def failing(message: str = "boom", *, name: str = "test_x", file: str = "a.py") -> CaseRecord:
    return CaseRecord(case=f"a.py::{name}", outcome=CaseOutcome.FAILED, message=message, file=file, line=7)


class TestLog:
    def test_a_failed_case_has_its_place_and_message(self, report_limits: ReportLimits) -> None:
        lines = logged(events_of("stage-b"), report_limits)
        at = lines.index(
            "07:17:18 FAILED test/registered/moe/test_fused_moe.py:118 "
            "TestFusedMoE::test_matches_reference[bf16-E64-topk8]"
        )
        assert lines[at + 1].startswith("07:17:18     AssertionError: Tensor-likes are not close!")

    def test_a_retry_and_a_flaky_end_are_reported(self, report_limits: ReportLimits) -> None:
        lines = logged(events_of("stage-b"), report_limits)
        told = [line[9:] for line in lines if "test_vision_openai_server" in line]
        assert any(line.startswith("RETRY") and "in 30 s" in line for line in told)
        assert told[-1].startswith("FLAKY")

    def test_progress_is_reported_at_most_every_so_often_per_test(self, report_limits: ReportLimits) -> None:
        clock, stream = Clock(), io.StringIO()
        view = LogView(stream, limits=report_limits, clock=clock)
        view.show(run_started(["a.py", "b.py"]))
        told = []
        for second in range(60):
            clock.now_s = 1000.0 + second
            for test in ("a.py", "b.py"):
                view.show(Progress(suite=SUITE, test=test, text="x", done=second, total=60))
            told = [line for line in stream.getvalue().splitlines() if "..." in line]
        assert [line.rpartition(" ")[2] for line in told if "a.py" in line] == [
            "0/60",
            "15/60",
            "30/60",
            "45/60",
        ]
        assert len(told) == 8

    def test_a_rehearsal_says_so_at_the_start_and_at_the_end(self, report_limits: ReportLimits) -> None:
        lines = logged(events_of("rehearsal"), report_limits)
        assert "REHEARSAL of stage-a-amd: 4 tests" in lines[0]
        assert "never counts as a pass" in lines[1]
        assert "REHEARSAL of stage-a-amd ended with exit code 1" in lines[-1]

    @given(text=odd_text)
    def test_one_event_is_never_more_lines_than_we_wrote(
        self, report_limits: ReportLimits, text: str
    ) -> None:
        skipped = ended("skipped", "passed", skip_reasons=(text,), notes=(text,), evidence=(text,))
        lines = logged(run_events({"a.py": [skipped]}), report_limits)
        assert all(re.match(r"(\d\d:\d\d:\d\d|--:--:--) ", line) for line in lines)


class TestActions:
    @pytest.mark.parametrize(
        ("properties", "data", "line"),
        [
            ({"file": "a.py", "line": "3"}, "x", "::error file=a.py,line=3::x"),
            ({"file": "a,b:c%.py"}, "100%\r\nnext", "::error file=a%2Cb%3Ac%25.py::100%25%0D%0Anext"),
            ({"file": ""}, "a:b,c", "::error::a:b,c"),
        ],
    )
    def test_escaping(self, properties: dict[str, str], data: str, line: str) -> None:
        assert command("error", properties, data) == line

    def test_secrets_are_masked_line_by_line_before_anything_else(self, report_limits: ReportLimits) -> None:
        lines = acted(events_of("stage-b"), report_limits, secrets=("hf_abc%", "first\nsecond\n", ""))
        assert lines[:3] == ["::add-mask::hf_abc%25", "::add-mask::first", "::add-mask::second"]
        assert mask_commands(["", "\n"]) == []

    def test_groups_open_and_close_in_turn_and_hold_the_log_of_a_failure(
        self, report_limits: ReportLimits
    ) -> None:
        lines = acted(events_of("stage-b"), report_limits)
        marks = [line for line in lines if line.startswith(("::group::", "::endgroup::"))]
        assert [mark.startswith("::group::") for mark in marks] == [True, False] * (len(marks) // 2)
        start = next(number for number, line in enumerate(lines) if "FAIL test/registered/moe/" in line)
        group = lines[start : lines.index("::endgroup::", start)]
        assert any("1 failed, 2 passed in 70.12s" in line for line in group)

    def test_each_failed_case_is_an_annotation_at_its_line(self, report_limits: ReportLimits) -> None:
        errors = [line for line in acted(events_of("stage-b"), report_limits) if line.startswith("::error")]
        assert errors[0].startswith(
            "::error file=test/registered/moe/test_fused_moe.py,line=118,title=product%3A Test"
        )
        assert errors[1].startswith(
            "::error file=test/registered/amd/test_gsm8k_llama.py,line=41,title=bounds%3A Test"
        )
        assert errors[2].startswith(
            "::error file=test/registered/mla/test_mla_fp8.py,title=timeout-while-passing%3A "
        )
        assert len(errors) == 3

    def test_an_attempt_that_is_tried_again_is_a_warning(self, report_limits: ReportLimits) -> None:
        first = ended("failed", "product", of=2, cases=(failing(),), retry_wait_s=1.0, retry_because="x")
        lines = acted(run_events({"a.py": [first, ended("passed", "passed", 2)]}), report_limits)
        assert [line for line in lines if line.startswith("::error")] == []
        assert "::warning file=a.py,line=7,title=product%3A test_x::boom" in lines

    def test_a_rehearsals_annotations_say_so(self, report_limits: ReportLimits) -> None:
        errors = [line for line in acted(events_of("rehearsal"), report_limits) if line.startswith("::error")]
        assert errors
        assert all("title=REHEARSAL " in line for line in errors)

    def test_no_more_annotations_than_github_keeps_and_a_word_about_the_rest(
        self, report_limits: ReportLimits
    ) -> None:
        cases = tuple(failing(name=f"test_{number}") for number in range(13))
        lines = acted(run_events({"a.py": [ended("failed", "product", cases=cases)]}), report_limits)
        assert sum(line.startswith("::error") for line in lines) == 10
        assert "3 more failures have no annotation" in lines[-1]

    def test_tests_that_run_side_by_side_have_whole_groups(self, report_limits: ReportLimits) -> None:
        metric = Metric(suite=SUITE, attempt=1, metric="m", value=1, unit="s")
        streams = [list(attempt_events(test, ended("passed", "passed"))) for test in ("a.py", "b.py")]
        mixed: list[Event] = [event for pair in zip(*streams, strict=True) for event in pair]
        mixed[2:2] = [replace(metric, test="b.py"), replace(metric, test="a.py")]
        lines = acted([run_started(["a.py", "b.py"]), *mixed], report_limits)
        groups = [lines[at : at + 3] for at, line in enumerate(lines) if line.startswith("::group::")]
        for group, test in zip(groups, ("a.py", "b.py"), strict=True):
            assert f"PASS {test}" in group[0]
            assert group[1] == f"| metric {test} m = 1 s"
            assert group[2] == "::endgroup::"

    def test_an_attempt_whose_end_never_came_is_shown(self, report_limits: ReportLimits) -> None:
        lines = acted(events_of("lost-agent"), report_limits)
        assert any("UNFINISHED test/registered/amd/test_lora_tp.py" in line for line in lines)
        assert any(
            line.startswith("::error title=failed outside the tests::the agent's stream") for line in lines
        )

    @given(words=odd_text)
    def test_no_text_of_a_test_becomes_a_command(self, report_limits: ReportLimits, words: str) -> None:
        attempt = ended(
            "failed",
            "product",
            cases=(failing(words, name=words, file=words),),
            evidence=(words,),
            notes=(words,),
        )
        started = Progress(suite=SUITE, test="a.py", text=words)
        events = run_events({"a.py": [attempt]}, command=words, commit=words)
        ours = {"group", "endgroup", "error", "warning"}
        for line in acted([*events[:3], started, *events[3:]], report_limits):
            found = re.match(r"\s*::([a-z-]*)", line)
            assert found is None or found[1] in ours
            # a line that is a command of ours is read as such; any other must not hold the older form
            assert found is not None or "##[" not in line

    def test_a_log_that_talks_to_the_runner_is_quoted(self, report_limits: ReportLimits) -> None:
        lines = acted(events_of("rehearsal"), report_limits)
        assert "|     ::error::not a command" in lines
        assert "|     # #[add-mask]e" in lines


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


class TestLiveRun:
    def test_a_test_that_is_tried_again_is_not_counted_as_failed(self) -> None:
        live = LiveRun(Clock())
        seen = []
        for event in events_of("stage-b"):
            live.take(event)
            if isinstance(event, TestEnded | Retry) and "vision" in event.test:
                seen.append(live.state.status((event.suite, event.test)))
        assert seen == [Status.FAILED, None, Status.FLAKY]
        assert live.state.counts() == {Status.PASSED: 3, Status.FAILED: 3, Status.FLAKY: 1, Status.SKIPPED: 1}
        assert (live.state.settled, live.state.total) == (8, 8)

    def test_a_retry_that_never_came_is_a_failure(self) -> None:
        live = LiveRun(Clock())
        attempt = ended("failed", "infra", of=2, retry_wait_s=30.0, retry_because="infra")
        for event in run_events({"a.py": [attempt]}, reason=EndReason.CANCELLED):
            live.take(event)
        assert live.state.counts() == {Status.FAILED: 1}

    def test_time_left_is_shared_by_what_runs_at_once(self) -> None:
        clock = Clock()
        live = LiveRun(clock)
        live.take(run_started(["a.py", "b.py", "c.py"]))
        for test in ("a.py", "b.py"):
            live.take(next(attempt_events(test, ended("passed", "passed"))))
        clock.now_s += 2
        assert live.left_s() == pytest.approx((10 + 8 + 8) / 2)


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


class TestConsole:
    def shown(self, console: Console, stream: io.StringIO) -> str:
        console.print("x" * 300, style="red")
        return stream.getvalue()

    def test_no_terminal_means_120_columns_and_no_colour_whatever_the_caller_sets(self) -> None:
        stream = io.StringIO()
        console = open_console({"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm"}, stdout=stream)
        assert [len(line) for line in self.shown(console, stream).splitlines()] == [120, 120, 60]

    def test_a_terminal_has_colour_unless_no_color_is_set(self) -> None:
        environ = {"TERM": "xterm-256color", "COLUMNS": "80"}
        stream = Terminal()
        assert "\x1b[31m" in self.shown(open_console(environ, stdout=stream), stream)
        stream = Terminal()
        assert "\x1b[31m" not in self.shown(open_console(environ | {"NO_COLOR": "1"}, stdout=stream), stream)

    def test_a_character_that_the_stream_lacks_is_spelled_out(self) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        open_console({}, stdout=stream).print("caf\u00e9 \U0001f600")
        stream.flush()
        assert raw.getvalue().strip() == b"caf\\xe9 \\U0001f600"

    def test_people_read_standard_error_when_json_is_requested(self) -> None:
        stdout, stderr = io.StringIO(), io.StringIO()
        open_console({}, json=True, stdout=stdout, stderr=stderr).print("hello")
        assert (stdout.getvalue(), stderr.getvalue()) == ("", "hello\n")
