"""A run on two nodes on every surface: what runs where, the job while it waits, and a node that is lost."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ci.record.events import Event, Job, TestStarted, WorkerLost
from ci.record.fold import fold
from ci.record.merge import merge
from ci.report import model
from ci.report.console import cell_len
from ci.report.final.html import html_report
from ci.report.final.junit import junit_xml
from ci.report.final.summary import summary_md
from ci.report.final.terminal import Screen, end_lines
from ci.report.live.blocks import Blocks
from ci.report.live.log_lines import LogLines
from ci.report.live.progress import LiveRun
from ci.report.live.terminal import draw
from ci.report.live.views import ActionsView
from ci.report.log_tail import LogTails
from ci.report.page.cards import cards
from ci.report.page.timeline import timeline
from ci.report.workers import attempt_place, is_waiting, job_tone, job_words, worker_rows
from support.live_views import Clock, Terminal, play
from support.merged_runs import shard_run
from support.planning import catalog
from support.worker_records import TESTS, run_on_two_nodes

EVENTS = run_on_two_nodes()
RECORD = fold(EVENTS)
LOST = "lost after 36 s: srun: error: Node failure on n2; 2 tests run again"
WIDTHS = range(40, 201, 8)


def lines_until(kind: type[Event], count: int = 1) -> tuple[LiveRun, list[str]]:
    """The view after so many events of this kind, and the lines of a log until then."""
    live, found, blocks = LiveRun(Clock()), list[str](), Blocks()
    lines = LogLines(live, limits=catalog().limits.report, clock=Clock())
    for event in EVENTS:
        live.take(event)
        found += [line.text for line in blocks.take(event, list(lines.lines(event)))]
        count -= isinstance(event, kind)
        if not count:
            break
    return live, found


def drawn(live: LiveRun, width: int = 100) -> str:
    return "\n".join(line.plain for line in draw(live, width=width))


class TestWhileItRuns:
    def test_the_head_shows_the_job_until_it_runs(self) -> None:
        pending, _ = lines_until(Job)
        assert "job 123 waits for its nodes: Resources" in drawn(pending)
        running, said = lines_until(Job, 2)
        assert "job 123" not in drawn(running)
        assert [each for each in said if each.startswith("job")] == [
            "job 123 waits for its nodes: Resources",
            "job 123 runs on n1, n2",
        ]

    @pytest.mark.parametrize(
        ("state", "reason", "words"),
        [
            ("PENDING", "None", "job 1 waits for its nodes"),
            ("NODE_FAIL", "NodeDown", "job 1 lost a node: NodeDown"),
        ],
    )
    def test_slurms_own_reason_is_shown_where_it_has_one(self, state: str, reason: str, words: str) -> None:
        assert job_words(Job(job="1", state=state, reason=reason)) == words

    @pytest.mark.parametrize(
        ("state", "waits", "tone"),
        [
            ("CONFIGURING", True, "warn"),
            ("REQUEUED", True, "warn"),
            ("SUSPENDED", True, "warn"),
            ("RUNNING", False, "plain"),
            ("COMPLETED", False, "plain"),
            ("NODE_FAIL", False, "warn"),
        ],
    )
    def test_a_job_waits_until_it_goes_on_or_is_over(self, *, state: str, waits: bool, tone: str) -> None:
        job = Job(job="1", state=state)
        assert (is_waiting(job), job_tone(job)) == (waits, tone)

    def test_slots_are_shown_by_node(self) -> None:
        live, said = lines_until(TestStarted, 4)
        rows = drawn(live).split("\n")[1:]
        assert [row.split()[0] for row in rows] == ["n1:1", "n1:2", "n2:1", "n2:2"]
        assert "worker 2 on n2.amd: 2 slots, Python 3.12.3" in said
        assert said[-1].endswith("n2:2)")

    @pytest.mark.parametrize("width", WIDTHS)
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        for count in (1, 4, 6, 8):
            live, _ = lines_until(TestStarted, count)
            assert all(cell_len(line.plain) <= width for line in draw(live, width=width))

    def test_what_a_lost_node_had_runs_no_more(self) -> None:
        live, said = lines_until(WorkerLost)
        assert {each.worker for each in live.running.values()} == {"1"}
        assert said[-1].startswith("worker 2 on n2.amd is lost: srun: error: Node failure on n2; 2 tests run")
        live, said = lines_until(TestStarted, 6)
        assert "attempt 2 of 2" in drawn(live)
        # what the lost worker said about the test is not lost
        assert said[-2:][0] == f"note: {TESTS[1]}: the server is ready"

    def test_a_group_of_actions_holds_one_attempt(self, tmp_path: Path) -> None:
        stream, limits = Terminal(), catalog().limits.report
        tails = LogTails(tmp_path, lines=5)
        play(ActionsView(stream, limits=limits, clock=Clock(), tails=tails), EVENTS)
        shown = stream.getvalue()
        assert shown.count(f"LOST {TESTS[1]}: its worker is gone") == 1
        assert shown.count("::group::") == shown.count("::endgroup::")


class TestAtItsEnd:
    def tails(self, folder: Path) -> LogTails:
        return LogTails(folder, lines=5)

    def test_a_node_is_shown_with_what_it_did(self) -> None:
        assert [(row.node, row.attempts, row.slots, row.busy) for row in worker_rows(RECORD)] == [
            ("n1", 6, 2, "87 %"),
            ("n2", 2, 2, "97 %"),
        ]
        assert [row.words.startswith(LOST) for row in worker_rows(RECORD)] == [False, True]
        assert worker_rows(fold(EVENTS[:2])) == ()

    def test_a_lost_node_is_on_every_surface(self, tmp_path: Path) -> None:
        tails, limits = self.tails(tmp_path), catalog().limits.report
        screen = "\n".join(line.plain for line in end_lines(RECORD, Screen()))
        assert f"n2: {LOST}" in screen
        assert LOST in summary_md(RECORD, tails=tails, limits=limits)
        assert LOST in html_report(RECORD, tails=tails)
        assert model.facts(RECORD)["Slurm job"] == "123 on cluster amdci"

    def test_the_timeline_is_by_node_and_shows_a_test_where_it_ran(self, tmp_path: Path) -> None:
        found = timeline(RECORD, cards(RECORD, self.tails(tmp_path)))
        assert found is not None
        assert [section.name for section in found.sections] == ["", "n1", "n2, lost"]
        lanes = {section.name: [lane.name for lane in section.lanes] for section in found.sections}
        assert lanes["n2, lost"] == ["n2: pull", TESTS[1], TESTS[3]]
        assert TESTS[1] in lanes["n1"]
        ran = [bar.kind for lane in found.sections[2].lanes[1:] for bar in lane.bars if bar.title]
        assert ran == ["lost", "lost"]

    def test_what_a_lost_node_left_is_no_result_of_the_test(self, tmp_path: Path) -> None:
        tree = ET.fromstring(junit_xml(RECORD, tails=self.tails(tmp_path)))
        (case,) = [each for each in tree.iter("testcase") if "test_mla" in str(each.get("classname"))]
        assert list(case) == []
        named = {each.get("name"): each.get("value") for each in tree.iter("property")}
        assert named[f"attempts: {TESTS[1]}"] == "1 lost (infra), 2 passed (passed)"
        assert named[f"node: {TESTS[1]}"] == "n2:1; n1:1"
        assert RECORD.tests[1].duration_s == 29

    def test_a_merged_report_has_the_nodes_of_each_run(self, tmp_path: Path) -> None:
        found = shard_run(1)
        first = (replace(found, record=RECORD), replace(shard_run(2), where="two"))
        record = merge(first, None).record
        name = record.parts[0].name
        assert any(line.startswith(f"{name}: n2: {LOST}") for line in model.lost_lines(record))
        text = summary_md(record, tails=self.tails(tmp_path), limits=catalog().limits.report)
        assert f"| {name}: n1 | 6 | 2 | 87 % |" in text.replace("&#45;", "-")
        shown = timeline(record, cards(record, self.tails(tmp_path)))
        assert shown is not None
        assert f"{name}: n2, lost" in [section.name for section in shown.sections]

    def test_gpus_are_named_with_their_node(self) -> None:
        record = fold(run_on_two_nodes(gpus=True))
        assert attempt_place(record, record.tests[0].attempts[0]) == "n1:1, GPU 0"
        assert model.lost_lines(record)[0].startswith("MACHINE: GPU 1 of n1 was taken out")

    def test_a_run_on_one_machine_says_nothing_about_nodes(self, tmp_path: Path) -> None:
        alone = fold([replace(event, worker="") for event in EVENTS if "worker" not in event.type])
        assert worker_rows(alone) == ()
        for text in (
            summary_md(alone, tails=self.tails(tmp_path), limits=catalog().limits.report),
            html_report(alone, tails=self.tails(tmp_path)),
        ):
            assert "n1:1" not in text
            assert "Nodes" not in text
