"""What Actions shows while a run goes on."""

import io
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Verdict
from ci.record.events import Case, Event, ExecutorFailed, Metric, Progress, Retry
from ci.record.values import CaseOutcome
from ci.report.live.github import ActionsView, command, mask_commands, workspace_prefix
from ci.report.log_tail import LogTails
from support.live_views import Clock, play
from support.records import (
    EVENTS,
    SUITE,
    attempt_events,
    ended,
    events_of,
    odd_text,
    run_events,
    run_started,
)


@pytest.mark.parametrize(
    ("root", "workspace", "prefix"),
    [
        ("/w/sglang", "/w", "sglang/"),
        ("/w", "/w", ""),
        ("/other", "/w", ""),
        ("/w/a/b", "/w/", "a/b/"),
        ("/w", "", ""),
    ],
)
def test_annotations_name_files_as_the_workspace_has_them(root: str, workspace: str, prefix: str) -> None:
    assert workspace_prefix(root, {"GITHUB_WORKSPACE": workspace}) == prefix


def acted(events: Iterable[Event], limits: ReportLimits, secrets: tuple[str, ...] = ()) -> list[str]:
    stream = io.StringIO()
    tails = LogTails(EVENTS, lines=limits.tail_lines)
    play(ActionsView(stream, limits=limits, clock=Clock(), tails=tails, secrets=secrets), events)
    return stream.getvalue().splitlines()


def failing(message: str = "boom", *, name: str = "test_x", file: str = "a.py") -> Case:
    return Case(case=f"a.py::{name}", outcome=CaseOutcome.FAILED, message=message, file=file, line=7)


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
        first = ended("failed", "product", of=2, cases=(failing(),), retry=Retry(wait_s=1, because="x"))
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
        assert lines[-1].endswith(
            "3 errors without an annotation: GitHub shows 10 of each of a step; the summary has all"
        )

    def test_the_most_useful_annotations_are_those_that_github_shows(
        self, report_limits: ReportLimits
    ) -> None:
        """One of each test before the second of any, each symptom before it comes again, the code's own failures first."""
        many = tuple(failing(name=f"test_{number}") for number in range(12))
        tests = {
            "many.py": [ended("failed", "infra", cases=many, symptom="no route")],
            **{f"same_{number}.py": [ended("failed", "infra", symptom="no route")] for number in range(7)},
            "late.py": [ended("failed", "product", cases=(failing(name="test_late"),), symptom="wrong")],
        }
        broken = ExecutorFailed(what="the container is gone", verdict=Verdict.INFRA)
        lines = acted([*run_events(tests), broken], report_limits)
        errors = [line for line in lines if line.startswith("::error")]
        assert len(errors) == 10
        assert "the container is gone" in errors[0]
        assert "line=7,title=product%3A" in errors[1]
        assert "test_0" in errors[2]
        assert ["file=same_" in error for error in errors[3:]] == [True] * 7
        assert "11 errors without an annotation" in lines[-1]
        assert max(lines.index(error) for error in errors) < len(lines) - 1

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
        assert "|     ## [add-mask]e" in lines
