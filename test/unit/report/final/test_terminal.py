"""The end of a run in the terminal: what failed and why, in any width, and nothing twice."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.record.events import Case
from ci.record.fold import fold
from ci.record.model import Attempt, RunRecord
from ci.record.values import CaseOutcome, GithubRun
from ci.report.console import cell_len, open_console, plain_console
from ci.report.final.terminal import show_end
from ci.report.text import one_line, strip_ansi, visible
from support.ends import shown_end
from support.live_views import Terminal
from support.records import EVENTS, NASTY, attempt_lists, ended, record_of, run_events
from support.report_texts import full_of, squeezed, texts

STORED = sorted(path.stem for path in EVENTS.glob("*.jsonl"))
TEST = "test/registered/moe/test_fused_moe.py"


def failed(*names: str, message: str = "AssertionError: it differs") -> Attempt:
    cases = tuple(
        Case(case=f"{TEST}::{name}", outcome=CaseOutcome.FAILED, message=message, file=TEST, line=7)
        for name in names
    )
    return ended("failed", "product", cases=cases, evidence=(f"{TEST}::{names[0]}: {message}",))


@settings(max_examples=60)
@given(words=texts)
def test_text_is_shown_and_moves_no_cursor(words: str) -> None:
    shown = shown_end(full_of(words))
    assert visible(shown) == shown
    assert squeezed(one_line(strip_ansi(words)).strip()[:40]) in squeezed(shown)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("run", STORED)
def test_every_line_fits_the_terminal(run: str, width: int) -> None:
    lines = shown_end(record_of(run), width=width, height=40).splitlines()
    assert max(map(cell_len, lines)) <= width


@settings(max_examples=150)
@given(tests=st.lists(attempt_lists(), min_size=1, max_size=4), width=st.integers(40, 200))
def test_every_line_of_any_run_fits(tests: list[tuple[Attempt, ...]], width: int) -> None:
    names = [f"test/registered/{NASTY[number]}/test_{number}.py" for number in range(len(tests))]
    record = fold(run_events(dict(zip(names, tests, strict=True))))
    for line in shown_end(record, width=width, height=24).splitlines():
        assert cell_len(line) <= width


@pytest.mark.parametrize("run", STORED)
def test_nothing_is_said_twice(run: str) -> None:
    lines = [line.strip() for line in shown_end(record_of(run), width=80, height=60).splitlines()]
    assert not {line for line, times in Counter(lines).items() if times > 1}


def test_a_failure_is_one_line_where_it_fits() -> None:
    record = fold(run_events({TEST: [failed("TestMoe::test_matches")]}))
    assert shown_end(record, width=120, height=40).splitlines() == [
        f"FAILED {TEST}:7 TestMoe::test_matches  product  AssertionError: it differs",
        "1 failed in 0.0 s",
        "stage-a-amd: tests failed (exit code 1)",
    ]
    assert shown_end(record, width=90, height=40).splitlines()[:2] == [
        f"FAILED {TEST}:7 TestMoe::test_matches  product",
        "    AssertionError: it differs",
    ]


def test_what_does_not_fit_the_screen_is_counted_and_every_test_stays() -> None:
    many = failed(*(f"test_x[{number}]" for number in range(60)))
    others = {f"test/registered/amd/test_{number}.py": [ended("failed", "unknown")] for number in range(8)}
    shown = shown_end(fold(run_events({TEST: [many], **others})), width=80, height=40)
    assert f"FAILED {TEST}:7 test_x[0] (+59 cases)  product" in shown
    assert all(name in shown for name in others)
    crowd = {f"test/registered/amd/test_{number}.py": [ended("failed", "unknown")] for number in range(100)}
    lines = shown_end(fold(run_events(crowd)), width=80, height=40).splitlines()
    assert len(lines) < 40
    assert lines[0] == "FAILED 69 more tests: the report has all"
    assert "100 failed" in lines[-2]


def test_a_place_is_not_repeated_behind_the_message() -> None:
    evidence = (f"ModuleNotFoundError: No module named 'x' ({TEST}:9, <module>)",)
    case = Case(case=TEST, outcome=CaseOutcome.FAILED, message="CollectError: ...", file=TEST)
    record = fold(run_events({TEST: [ended("failed", "product", cases=(case,), evidence=evidence)]}))
    first = shown_end(record).splitlines()[0]
    assert first == f"FAILED {TEST}:9  product  ModuleNotFoundError: No module named 'x'"


def test_a_limit_that_was_over_is_a_line_beside_the_case_that_failed() -> None:
    case = Case(
        case=f"{TEST}::test_x",
        outcome=CaseOutcome.FAILED,
        message="a.b.OwnError: it differs",
        file=TEST,
        line=7,
    )
    evidence = ("another process: exec_module (x.py:176)", "no end within 20 s, the file's time limit")
    record = fold(run_events({TEST: [ended("failed", "timeout", cases=(case,), evidence=evidence)]}))
    assert shown_end(record).splitlines()[:2] == [
        f"FAILED {TEST}:7 test_x  timeout  OwnError: it differs",
        f"FAILED {TEST}  timeout  no end within 20 s, the file's time limit",
    ]


class TestWhatIsCopied:
    def printed(self, record: RunRecord, folder: Path, *, width: int, colours: bool = True) -> str:
        stream = Terminal()
        environ = {"COLUMNS": str(width), "LINES": "30", "TERM": "xterm" if colours else "dumb"}
        console = open_console(environ, stdout=stream)
        show_end(console, record, folder, report=folder / "report.html")
        return stream.getvalue()

    @pytest.fixture
    def run_dir(self, tmp_path: Path) -> Path:
        folder = tmp_path / "20260529T071203Z-stage-b-amd-0123abcd"
        folder.mkdir()
        return folder

    def test_the_report_is_a_link_and_a_path(self, run_dir: Path) -> None:
        shown = self.printed(record_of("stage-b"), run_dir, width=200)
        assert "\x1b]8;id=" in shown
        assert f";file://{run_dir}/report.html\x1b\\" in shown
        assert f"report: {run_dir}/report.html" in strip_ansi(shown)
        assert "\x1b" not in self.printed(record_of("stage-b"), run_dir, width=200, colours=False)

    def test_one_line_repeats_it_and_is_short_where_the_terminal_is(self, run_dir: Path) -> None:
        record = record_of("stage-b")
        record = replace(record, start=replace(record.start, run=run_dir.name))
        for width in (40, 80, 200):
            lines = strip_ansi(self.printed(record, run_dir, width=width)).splitlines()
            assert lines[-1].startswith("repeat it: nox -s stage_b_amd -- ")
            assert sum("nox -s" in line for line in lines) == 1
            assert len(lines[-1]) <= max(width, 80)
        (run_dir.parent / "20260529T071203Z-stage-b-amd-of-the-same-second").mkdir()
        assert self.printed(record, run_dir, width=40).rstrip().endswith(f"{run_dir.name}\x1b[0m")

    def test_a_run_that_passed_has_nothing_to_repeat(self, run_dir: Path) -> None:
        record = fold(run_events({TEST: [ended("passed", "passed")]}))
        assert "repeat" not in self.printed(record, run_dir, width=80)

    def test_in_actions_what_cannot_be_named_is_repeated_from_the_page(self, run_dir: Path) -> None:
        page = "https://github.com/a/b/actions/runs/7"
        crowd = {f"test/registered/t_{number}.py": [ended("failed", "unknown")] for number in range(9)}
        record = fold(run_events(crowd, github=GithubRun(event="push", run_url=page)))
        stream = io.StringIO()
        show_end(plain_console(stream), record, run_dir, report=None)
        assert stream.getvalue().endswith(f"repeat it: ./inv repro {page} --run --failed\n")
