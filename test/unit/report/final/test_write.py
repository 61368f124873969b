"""Files of a report: whole or not at all, one failure stops no other, and all are reported at the end."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Verdict
from ci.record.events import ExecutorFailed, TestNotRun
from ci.record.fold import fold
from ci.record.values import SkippedSuite
from ci.report.console import plain_console
from ci.report.final.write import Failed, Written, page_of, show_written, write_reports
from ci.report.model import bound_words, left_out, result, slowest, troubles, unfinished
from support.full_disk import files_of_at_most
from support.records import EVENTS, SUITE, ended, record_of, run_events

NAMES = ["junit.xml", "summary.md", "report.html", "terminal.svg"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    shutil.copytree(EVENTS / "logs", tmp_path / "logs")
    return tmp_path


class TestWriting:
    def test_all_files_are_written_and_nothing_else(self, run_dir: Path, report_limits: ReportLimits) -> None:
        written = write_reports(record_of("stage-b"), run_dir, environ={}, limits=report_limits)
        assert [file.path.name for file in written] == NAMES
        for file in written:
            assert isinstance(file, Written)
            assert file.path.stat().st_size == file.size_bytes > 0
        assert sorted(path.name for path in run_dir.iterdir()) == sorted([*NAMES, "logs"])

    def test_a_file_that_fails_keeps_its_old_content_and_stops_no_other(
        self, run_dir: Path, report_limits: ReportLimits
    ) -> None:
        (run_dir / "report.html").write_text("old")
        (run_dir / "terminal.svg").mkdir()
        # the page and the picture are too large for this disk, the others fit
        with files_of_at_most(14_000):
            written = write_reports(record_of("stage-b"), run_dir, environ={}, limits=report_limits)
        by_name = {file.path.name: file for file in written}
        assert isinstance(by_name["junit.xml"], Written)
        assert isinstance(by_name["summary.md"], Written)
        failed = by_name["report.html"]
        assert isinstance(failed, Failed)
        assert failed.because == "File too large"
        assert (run_dir / "report.html").read_text() == "old"
        assert not list(run_dir.glob(".*"))

    def test_a_folder_that_is_gone_is_reported_for_each_file(
        self, tmp_path: Path, report_limits: ReportLimits
    ) -> None:
        written = write_reports(record_of("stage-b"), tmp_path / "gone", environ={}, limits=report_limits)
        assert [type(file) for file in written] == [Failed] * 4

    def test_a_second_report_replaces_the_first(self, run_dir: Path, report_limits: ReportLimits) -> None:
        write_reports(record_of("stage-b"), run_dir, environ={}, limits=report_limits)
        write_reports(record_of("cancelled"), run_dir, environ={}, limits=report_limits)
        assert "interrupted" in (run_dir / "summary.md").read_text()


class TestStepSummary:
    def test_it_is_added_to_what_is_there(self, run_dir: Path, report_limits: ReportLimits) -> None:
        step = run_dir / "step.md"
        step.write_text("before\n")
        environ = {"GITHUB_STEP_SUMMARY": str(step)}
        written = write_reports(record_of("rehearsal"), run_dir, environ=environ, limits=report_limits)
        assert written[-1].path == step
        assert step.read_text() == "before\n" + (run_dir / "summary.md").read_text()

    def test_several_runs_of_one_step_share_githubs_limit(
        self, run_dir: Path, report_limits: ReportLimits
    ) -> None:
        step = run_dir / "step.md"
        limits = replace(report_limits, summary_bytes=12_000)
        environ = {"GITHUB_STEP_SUMMARY": str(step)}
        for _ in range(2):
            write_reports(record_of("stage-b"), run_dir, environ=environ, limits=limits)
        assert 0 < step.stat().st_size <= limits.summary_bytes + 300

    def test_a_file_that_fills_up_stays_as_it_was(self, run_dir: Path, report_limits: ReportLimits) -> None:
        step = run_dir / "step.md"
        step.write_text("x" * 13_000)
        with files_of_at_most(14_000):
            written = write_reports(
                record_of("rehearsal"),
                run_dir,
                environ={"GITHUB_STEP_SUMMARY": str(step)},
                limits=report_limits,
            )
        assert isinstance(written[-1], Failed)
        assert step.read_text() == "x" * 13_000


def test_the_end_names_the_files_and_those_that_are_missing(run_dir: Path) -> None:
    (run_dir / "plan.json").touch()
    (run_dir / "report.html.d").mkdir()
    files: list[Written | Failed] = [
        Written(path=run_dir / "junit.xml", size_bytes=1),
        Failed(path=run_dir / "report.html", because="No space left on device"),
    ]
    stream = io.StringIO()
    show_written(plain_console(stream), run_dir, files, verbose=True)
    assert stream.getvalue().splitlines() == [
        f"{run_dir}/plan.json",
        f"{run_dir}/logs",
        f"{run_dir}/junit.xml",
        f"{run_dir}/report.html was not written: No space left on device",
    ]
    stream = io.StringIO()
    show_written(plain_console(stream), run_dir, files, verbose=False)
    assert stream.getvalue() == f"{run_dir}/report.html was not written: No space left on device\n"
    assert page_of(files) is None


class TestModel:
    def test_flaky_is_reported_beside_passed(self) -> None:
        attempts = [ended("failed", "infra"), ended("passed", "passed", 2)]
        assert (
            result(fold(run_events({"a.py": attempts}))).words
            == "passed, 1 of them only after another attempt"
        )

    def test_failures_for_good_come_before_flaky_ones_and_every_attempt_is_there(self) -> None:
        tests = {
            "flaky.py": [ended("failed", "infra"), ended("passed", "passed", 2)],
            "red.py": [ended("failed", "infra"), ended("failed", "product", 2)],
        }
        found = [
            (item.test.id, item.attempt.number, item.final) for item in troubles(fold(run_events(tests)))
        ]
        assert found == [("red.py", 2, True), ("red.py", 1, False), ("flaky.py", 1, False)]

    def test_what_was_left_out_is_grouped_by_reason(self) -> None:
        tests = {name: [ended("skipped", "passed", skip_reasons=("no GPU",))] for name in ("a.py", "b.py")}
        record = fold(run_events(tests, skipped_suites=(SkippedSuite(suite="s", because="needs 8 GPUs"),)))
        assert left_out(record) == {
            "skipped: no GPU": ("a.py", "b.py"),
            "suite left out: needs 8 GPUs": ("s",),
        }
        assert list(unfinished(record)) == ["skipped: no GPU"]

    def test_what_the_run_failed_with_is_no_reason_of_its_own(self) -> None:
        failure = ExecutorFailed(what="no space left", cause="", then="", verdict=Verdict.INFRA)
        reason = TestNotRun(
            suite=SUITE, test="b.py", verdict=Verdict.INFRA, because="the same: no space left"
        )
        record = fold([*run_events({"a.py": [], "b.py": []}), failure, reason])
        assert {name for names in left_out(record).values() for name in names} == {"a.py", "b.py"}
        assert list(unfinished(record)) == ["not run (infra): the same: no space left"]

    def test_the_slowest_come_first(self) -> None:
        assert [test.duration_s for test in slowest(record_of("stage-b"))][:2] == [1800.4, 356.8]

    def test_a_bound_has_its_metrics_unit(self) -> None:
        metrics = [
            metric for test in record_of("stage-b").tests for item in test.attempts for metric in item.metrics
        ]
        assert {bound_words(metric) for metric in metrics} >= {"<= 9.5 ms", ">= 0.78", ""}
