"""The live views: JSON, the terminal, and which one is opened."""

import io
import json
from pathlib import Path

from ci.catalog.limits import ReportLimits
from ci.record.event_log import read_events
from ci.report.live.github import ActionsView
from ci.report.live.terminal import TerminalView
from ci.report.live.views import JsonView, LogView, View, Views, open_view
from support.live_views import Clock, Terminal, play
from support.records import (
    EVENTS,
    events_of,
)


class TestJson:
    def test_each_event_is_a_line_that_can_be_read_again(self, tmp_path: Path) -> None:
        events = events_of("rehearsal")
        stream = io.StringIO()
        play(JsonView(stream), events)
        (tmp_path / "events.jsonl").write_text(stream.getvalue())
        assert read_events(tmp_path / "events.jsonl") == events


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
