"""The record of a run, folded from its events, and the exit code that follows from it."""

from collections.abc import Iterable

from ci.catalog.verdicts import Status, Verdict
from ci.errors import ExitCode, worst
from ci.record.events import Event
from ci.record.model import RunRecord
from ci.record.state import RunState
from ci.record.values import EndReason

__all__ = ["exit_code", "fold"]


def fold(events: Iterable[Event]) -> RunRecord:
    """The record of these events; what is wrong with them is in its `problems`."""
    state = RunState()
    for event in events:
        state.take(event)
    return state.record()


def exit_code(record: RunRecord) -> int:
    """What the run ends with, by the table in docs/agent.md and `ci.errors.worst`.

    A test that was selected and of which the record holds nothing counts as infrastructure: it never counts as a
    pass. What `--fail-fast` left out adds nothing to the failure that caused it, as long as there is one that gates. A
    quarantined test gates nothing.
    """
    codes: set[int] = {failure.verdict.row.exit_code for failure in record.failures}
    if record.recorded_exit is not None:
        codes.add(record.recorded_exit)
    cancelled = record.ended_reason is EndReason.CANCELLED or ExitCode.INTERRUPTED in codes
    if cancelled:
        codes.add(ExitCode.INTERRUPTED)
    if not record.start.run:
        codes.add(ExitCode.INFRASTRUCTURE)
    elif not record.tests and record.ended_reason is None:
        if not record.failures:
            codes.add(ExitCode.OK if record.start.empty_shards else ExitCode.NOTHING_SELECTED)
    elif record.ended_reason is None and not cancelled:
        codes.add(ExitCode.INFRASTRUCTURE)
    left_out = record.ended_reason is EndReason.FAIL_FAST and record.count(Status.FAILED) > 0
    for test in record.tests:
        if test.status in (Status.FAILED, Status.CANCELLED) or (
            test.status is Status.NOT_RUN and not (left_out and test.verdict is Verdict.CANCELLED)
        ):
            codes.add(test.verdict.row.exit_code)
    if record.tests and not any(test.status.row.judged for test in record.tests):
        codes.add(ExitCode.NOTHING_SELECTED)
    return worst(codes)
