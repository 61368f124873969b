"""The counts and times of a run that goes on."""

from ci.catalog.verdicts import Status
from ci.record.events import Retry, TestEnded
from ci.record.values import EndReason
from ci.report.live.progress import LiveRun
from support.live_views import Clock
from support.records import (
    ended,
    events_of,
    run_events,
)


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
        attempt = ended("failed", "infra", of=2, retry=Retry(wait_s=30, because="infra"))
        for event in run_events({"a.py": [attempt]}, reason=EndReason.CANCELLED):
            live.take(event)
        assert live.state.counts() == {Status.FAILED: 1}
