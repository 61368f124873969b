"""The view on a terminal: what runs now, how long it may take, and what scrolls by above it."""

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.limits import ReportLimits
from ci.record.events import (
    Case,
    Event,
    Output,
    PhaseProgress,
    PhaseStarted,
    Progress,
    TestEnded,
)
from ci.record.values import CaseOutcome
from ci.report.console import Console, cell_len, open_console
from ci.report.live.progress import LiveRun
from ci.report.live.terminal import TerminalView, draw
from ci.report.text import strip_ansi
from support.live_views import Clock, Terminal, play
from support.records import NASTY, SUITE, attempt_events, ended, events_of, odd_text, run_events, run_started

LONG = "test/registered/sampling/test_greedy_determinism_of_long_prompts.py"


def started(test: str) -> Event:
    return next(attempt_events(test, ended("passed", "passed")))


def drawn(live: LiveRun, width: int = 100, *, ascii_only: bool = False) -> list[str]:
    return [line.plain for line in draw(live, width=width, ascii_only=ascii_only)]


def going(clock: Clock, tests: Sequence[str], *events: Event, **more: object) -> LiveRun:
    live = LiveRun(clock)
    for event in (run_started(tests, **more), *events):
        live.take(event)
    return live


def test_what_runs_now_is_one_line_with_times_and_the_newest_word() -> None:
    clock = Clock()
    done = attempt_events("a.py", ended("passed", "passed", duration_s=4))
    output = Output(suite=SUITE, test="b.py", attempt=1, lines=("old", "\x1b[31mnew [red] line\x1b[0m", " "))
    live = going(clock, ["a.py", "b.py", "c.py"], *done, started("b.py"), output)
    clock.now_s += 2
    head, row = drawn(live)
    assert head == "stage-a-amd  1/3  1 passed  2.0 s  ~6.0 s left"
    assert row.startswith("  b.py  ━━━━━━━━")
    assert row.endswith("0:02 of ~0:04  new [red] line")
    live.take(Progress(suite=SUITE, test="b.py", attempt=1, text="gsm8k", done=5, total=16))
    assert drawn(live)[1].endswith("  gsm8k 5/16")


def test_a_rehearsal_says_so_all_the_time_in_yellow() -> None:
    for rehearsal, style in ((True, "bold yellow"), (False, "bold")):
        live = going(Clock(), ["a.py"], rehearsal=rehearsal)
        (head,) = draw(live, width=80)
        assert str(head.spans[0].style) == style
        assert head.plain.startswith("REHEARSAL of stage-a-amd" if rehearsal else "stage-a-amd")


def test_a_test_over_its_estimate_is_yellow_and_nothing_is_red_while_all_is_well() -> None:
    clock = Clock()
    live = going(clock, ["a.py"], started("a.py"))
    for passed_s, colour in ((1, "cyan"), (24, "yellow")):
        clock.now_s += passed_s
        styles = {str(span.style) for line in draw(live, width=80) for span in line.spans}
        assert colour in styles
        assert "red" not in " ".join(styles)
    assert "past the estimates" in drawn(live)[0]


def test_another_attempt_says_so() -> None:
    live = going(Clock(), ["a.py"], next(attempt_events("a.py", ended("passed", "passed", number=2, of=2))))
    assert drawn(live)[1].endswith("attempt 2 of 2")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_columns_line_up_and_paths_are_shortened_to_fit(width: int) -> None:
    clock = Clock()
    output = Output(suite=SUITE, test="b.py", attempt=1, lines=("a long line of output " * 20,))
    live = going(clock, [LONG, "b.py"], started(LONG), started("b.py"), output)
    clock.now_s += 75
    lines = drawn(live, width)
    rows = lines[-2:]
    assert max(map(cell_len, lines)) <= width
    assert len({row.index("1:15 of") for row in rows}) == 1
    assert rows[0].split()[0] in (LONG, f".../{LONG.rpartition('/')[2]}") or "..." in rows[0]
    assert ("━" in rows[0]) == (width >= 60)


def test_a_phase_has_its_bar_and_what_it_says() -> None:
    progress = PhaseProgress(phase="pull", text="layers", done=3 * 2**30, total=12 * 2**30, unit="bytes")
    live = going(Clock(), ["a.py"], PhaseStarted(phase="pull", text="rocm/sgl-dev"), progress)
    row = drawn(live, 80)[1]
    assert row == "  pull  ━━──────  0:00  layers: 3 GiB of 12 GiB (25 %)"


def test_a_terminal_without_unicode_gets_none() -> None:
    live = going(Clock(), ["a.py"], started("a.py"))
    assert "".join(drawn(live, ascii_only=True)).isascii()


def test_a_locale_without_unicode_is_found_by_its_name() -> None:
    for environ, shown in (({"LC_ALL": "C"}, "ascii"), ({"LANG": "C.UTF-8"}, "utf-8"), ({}, "utf-8")):
        raw = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        raw.isatty = lambda: True  # type: ignore[method-assign]
        console = open_console({"TERM": "xterm", **environ}, stdout=raw)
        assert console.encoding == shown


@given(
    words=st.one_of(odd_text, st.sampled_from(NASTY)),
    width=st.integers(40, 200),
    gone_s=st.floats(0, 1e5),
    at_once=st.integers(0, 4),
)
def test_any_run_fits_any_width(words: str, width: int, gone_s: float, at_once: int) -> None:
    clock = Clock()
    names = [f"test/registered/{words}/{number}.py" for number in range(5)]
    events: list[Event] = [*attempt_events(names[-1], ended("failed", "product", duration_s=3))]
    for name in names[:at_once]:
        events += [started(name), Output(suite=SUITE, test=name, attempt=1, lines=(words,))]
    live = going(clock, names, *events, rehearsal=True)
    clock.now_s += gone_s
    lines = drawn(live, width)
    assert all(cell_len(line) <= width for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)


class TestTimeLeft:
    def test_estimates_count_by_the_pace_of_what_has_ended(self) -> None:
        clock = Clock()
        live = LiveRun(clock)
        live.take(run_started(list("abcdef")))
        assert (live.left_s(), live.is_paced) == (60, False)
        for test, took_s in (("a", 1), ("b", 2), ("c", 9)):
            for event in attempt_events(test, ended("passed", "passed", duration_s=took_s)):
                live.take(event)
        # the median of 0.1, 0.2 and 0.9
        assert live.pace == pytest.approx(0.2)
        assert live.is_paced
        assert live.left_s() == pytest.approx(3 * 10 * 0.2)

    def test_what_was_skipped_says_nothing_of_the_pace(self) -> None:
        live = LiveRun(Clock())
        live.take(run_started(["a", "b"]))
        for event in attempt_events("a", ended("skipped", "passed", duration_s=0.1)):
            live.take(event)
        assert live.left_s() == 10

    def test_it_is_shared_by_what_ran_at_once_and_not_less_than_the_longest(self) -> None:
        clock = Clock()
        live = LiveRun(clock)
        live.take(run_started(["a.py", "b.py", "c.py"]))
        for test in ("a.py", "b.py"):
            live.take(started(test))
        clock.now_s += 2
        assert live.left_s() == pytest.approx((10 + 8 + 8) / 2)
        *_, end = attempt_events("a.py", ended("passed", "passed", duration_s=10))
        for event in (end, started("c.py")):
            live.take(event)
        assert live.left_s() == pytest.approx(10)


class TestScreen:
    def shown(self, limits: ReportLimits, events: list[Event], *, width: int = 100) -> str:
        stream = Terminal()
        console = open_console({"TERM": "xterm", "COLUMNS": str(width), "LINES": "40"}, stdout=stream)
        play(TerminalView(console, limits=limits, clock=Clock()), events)
        return stream.getvalue()

    def test_finished_tests_stay_on_the_screen(self, report_limits: ReportLimits) -> None:
        shown = self.shown(report_limits, events_of("stage-b"))
        assert "PASS test/registered/amd/test_lora_tp.py in 4 min 38 s" in shown
        assert "FLAKY test/registered/amd/test_vision_openai_server.py" in shown
        # the cursor is shown again
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_every_line_that_scrolls_by_fits(self, report_limits: ReportLimits, width: int) -> None:
        for run in ("stage-b", "container", "guard", "quarantine"):
            for line in strip_ansi(self.shown(report_limits, events_of(run), width=width)).split("\n"):
                assert cell_len(line.rpartition("\r")[2]) <= width

    def test_a_run_begins_with_three_lines(self, report_limits: ReportLimits) -> None:
        events = events_of("rehearsal")
        at = next(number for number, event in enumerate(events) if isinstance(event, Case | TestEnded))
        lines = strip_ansi(self.shown(report_limits, events[:at], width=200)).split("\n")
        shown = [line.rpartition("\r")[2].strip() for line in lines]
        assert [line.partition(" ")[0] for line in shown if line][:3] == ["REHEARSAL", "REHEARSAL,", "on"]

    def test_evidence_does_not_repeat_the_message_of_a_case(self, report_limits: ReportLimits) -> None:
        case = Case(
            case="a.py::test_x", outcome=CaseOutcome.FAILED, message="AssertionError: 7 is odd", file="a.py"
        )
        attempt = ended(
            "failed", "product", cases=(case,), evidence=("a.py::test_x: AssertionError: 7 is odd",)
        )
        shown = self.shown(report_limits, run_events({"a.py": [attempt]}))
        assert shown.count("7 is odd") == 1

    def test_a_stop_is_acknowledged_in_what_is_drawn(self, report_limits: ReportLimits) -> None:
        stream = Terminal()
        console = open_console({"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}, stdout=stream)
        view = TerminalView(console, limits=report_limits, clock=Clock())
        view.show(run_started(["a.py"]))
        view.acknowledge("stopping, up to 7 s")
        view.show(started("a.py"))
        view.close()
        assert "stopping, up to 7 s" in stream.getvalue()

    def test_a_terminal_that_gets_narrower_leaves_no_line_behind(self) -> None:
        clock = Clock()
        live = going(clock, [LONG], started(LONG))
        stream = Terminal()
        console = Console(
            file=stream, width=100, height=20, force_terminal=True, color_system=None, _environ={}
        )
        from ci.report.console import LiveArea  # noqa: PLC0415 - this test alone

        area = LiveArea(console, lambda: draw(live, width=console.width), refresh_per_second=0.001)
        area.start(refresh=True)
        rows = sum(-(-cell_len(line.plain) // 45) for line in draw(live, width=100))
        stream.truncate(0)
        console.width = 45
        area.refresh()
        assert stream.getvalue().count("\x1b[1A") == rows - 1
        area.stop()
