"""The timeline's bars and its critical path."""

from dataclasses import replace

from ci.catalog.limits import ReportLimits
from ci.record.events import AgentEnded, AgentStarted, By, Note, Retry
from ci.record.fold import fold
from ci.record.model import Attempt, RunRecord
from ci.report.log_tail import LogTails
from ci.report.page.cards import cards
from ci.report.page.timeline import Timeline, timeline
from support.records import EVENTS, ended, run_started, sent_about


def drawn(record: RunRecord, limits: ReportLimits) -> Timeline:
    found = timeline(record, cards(record, LogTails(EVENTS, lines=limits.tail_lines)))
    assert found is not None
    return found


def run_of(*attempts: tuple[str, float, float, Attempt]) -> RunRecord:
    """A run of these tests and attempts, each with its start and end in seconds."""
    events = [
        (at_s, event)
        for test, start_s, end_s, attempt in attempts
        for sent in [sent_about(attempt, test)]
        for at_s, event in (
            (start_s, replace(sent.start, elapsed_s=start_s)),
            (end_s, replace(sent.end, elapsed_s=end_s, duration_s=end_s - start_s)),
            *([(end_s, replace(sent.retry, elapsed_s=end_s))] if sent.retry else []),
        )
    ]
    ordered = [event for _, event in sorted(events, key=lambda pair: pair[0])]
    names = list(dict.fromkeys(test for test, *_ in attempts))
    return fold([run_started(names), AgentStarted(by=By.AGENT), *ordered, AgentEnded(by=By.AGENT)])


PASSED = ended("passed", "passed")


def test_the_path_leads_from_the_end_to_the_start(report_limits: ReportLimits) -> None:
    record = run_of(
        ("a.py", 0, 40, PASSED), ("b.py", 0, 90, PASSED), ("c.py", 40, 60, PASSED), ("d.py", 90, 100, PASSED)
    )
    found = drawn(record, report_limits)
    assert [(step.name, step.share) for step in found.steps] == [("b.py", 90.0), ("d.py", 10.0)]
    critical = [lane.name for lane in found.sections[0].lanes if any(bar.critical for bar in lane.bars)]
    assert critical == ["b.py", "d.py"]


def test_waits_are_part_of_it(report_limits: ReportLimits) -> None:
    failed = ended("failed", "infra", of=2, retry=Retry(wait_s=30, because="infra"))
    record = run_of(("a.py", 10, 20, failed), ("a.py", 50, 100, ended("passed", "passed", 2, of=2)))
    found = drawn(record, report_limits)
    assert {step.name: step.duration_s for step in found.steps} == {
        "a.py, attempt 2": 50,
        "wait before attempt 2 of a.py": 30,
        "a.py, attempt 1": 10,
        "before the first": 10,
    }
    kinds = [(bar.kind, bar.left, bar.width) for bar in found.sections[0].lanes[0].bars]
    assert kinds == [("failed", 10.0, 10.0), ("retry", 20.0, 30.0), ("passed", 50.0, 50.0)]


def test_a_test_that_waited_for_its_turn_says_so(report_limits: ReportLimits) -> None:
    record = run_of(("a.py", 0, 50, PASSED), ("b.py", 50, 100, PASSED))
    lanes = drawn(record, report_limits).sections[0].lanes
    assert [[bar.kind for bar in lane.bars] for lane in lanes] == [["passed"], ["wait", "passed"]]


def test_the_start_of_a_server_is_drawn_inside_its_test(report_limits: ReportLimits) -> None:
    sent = sent_about(PASSED, "a.py")
    ready = Note(
        suite=sent.start.suite, test="a.py", attempt=1, by=By.AGENT, text="ready", server_s=20.0, elapsed_s=30
    )
    started, ended_ = replace(sent.start, elapsed_s=0.0), replace(sent.end, elapsed_s=100, duration_s=100.0)
    record = fold(
        [run_started(["a.py"]), AgentStarted(by=By.AGENT), started, ready, ended_, AgentEnded(by=By.AGENT)]
    )
    (lane,) = drawn(record, report_limits).sections[0].lanes
    assert [(bar.kind, bar.left, bar.width) for bar in lane.bars] == [
        ("passed", 0.0, 100.0),
        ("server", 10.0, 20.0),
    ]


def test_a_run_in_which_nothing_started_has_none(report_limits: ReportLimits) -> None:
    record = fold([run_started(["a.py"]), AgentStarted(by=By.AGENT), AgentEnded(by=By.AGENT)])
    assert timeline(record, cards(record, LogTails(EVENTS, lines=report_limits.tail_lines))) is None
