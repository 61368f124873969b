"""The log of a run, line by line."""

import io
import re
from collections.abc import Iterable

from hypothesis import given

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Verdict
from ci.record.events import Event, Progress, TestEnded
from ci.record.values import AttemptOutcome, Leftover
from ci.report.live.views import LogView
from support.live_views import Clock, play
from support.records import (
    SUITE,
    ended,
    events_of,
    odd_text,
    run_events,
    run_started,
)


def logged(events: Iterable[Event], limits: ReportLimits, clock: Clock | None = None) -> list[str]:
    stream = io.StringIO()
    play(LogView(stream, limits=limits, clock=clock or Clock()), events)
    return stream.getvalue().splitlines()


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
        shown = [line[9:] for line in lines if "test_vision_openai_server" in line]
        assert any(line.startswith("RETRY") and "in 30 s" in line for line in shown)
        assert shown[-1].startswith("FLAKY")
        assert shown[-1].endswith(": infra on an earlier attempt")

    def test_shared_memory_that_was_removed_is_named_with_its_node_where_that_is_another(
        self, report_limits: ReportLimits
    ) -> None:
        left = tuple(Leftover(pid=0, command="", path=f"/dev/shm/psm_{node}", node=node) for node in (0, 2))
        end = TestEnded(
            suite=SUITE,
            test="a.py",
            attempt=1,
            outcome=AttemptOutcome.PASSED,
            verdict=Verdict.PASSED,
            leftovers=left,
        )
        shown = [line[9:].strip() for line in logged([run_started(["a.py"]), end], report_limits)]
        assert "leftover shared memory removed: /dev/shm/psm_0" in shown
        assert "leftover shared memory removed on node 2: /dev/shm/psm_2" in shown

    def test_progress_is_reported_at_most_every_so_often_per_test(self, report_limits: ReportLimits) -> None:
        clock, stream = Clock(), io.StringIO()
        view = LogView(stream, limits=report_limits, clock=clock)
        view.show(run_started(["a.py", "b.py"]))
        shown = []
        for second in range(60):
            clock.now_s = 1000.0 + second
            for test in ("a.py", "b.py"):
                view.show(Progress(suite=SUITE, test=test, text="x", done=second, total=60))
            shown = [line for line in stream.getvalue().splitlines() if "..." in line]
        assert [line.rpartition(" ")[2] for line in shown if "a.py" in line] == [
            "0/60",
            "15/60",
            "30/60",
            "45/60",
        ]
        assert len(shown) == 8

    def test_a_rehearsal_says_so_at_the_start_and_at_the_end(self, report_limits: ReportLimits) -> None:
        lines = logged(events_of("rehearsal"), report_limits)
        assert "REHEARSAL of stage-a-amd: 4 tests" in lines[0]
        assert "REHEARSAL, never a pass of the stage: " in lines[1]
        assert "REHEARSAL of stage-a-amd ended with exit code 1" in lines[-1]

    @given(text=odd_text)
    def test_one_event_is_never_more_lines_than_we_wrote(
        self, report_limits: ReportLimits, text: str
    ) -> None:
        skipped = ended("skipped", "passed", skip_reasons=(text,), notes=(text,), evidence=(text,))
        lines = logged(run_events({"a.py": [skipped]}), report_limits)
        assert all(re.match(r"(\d\d:\d\d:\d\d|--:--:--) ", line) for line in lines)
