"""What `./inv triage` makes of logs, run folders and archives."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.quarantine import Quarantine, QuarantineTable
from ci.catalog.verdicts import Status, Verdict
from ci.errors import UsageError
from ci.plan.compare.capsule import encode
from ci.record.event_log import line_of
from ci.report.console import recording_console
from ci.repro.triage.gather import TriageOptions, triage_sources
from ci.repro.triage.values import TriagedJob
from ci.repro.triage.view import markdown_of, report_of, show_jobs
from support.records import ended, run_events
from support.sglang_log import job_log
from support.shard_plans import shard_plan


def triage(
    catalog: Catalog, *sources: Path | str, environ: Mapping[str, str] | None = None
) -> list[TriagedJob]:
    return triage_sources(TriageOptions(sources=tuple(map(str, sources))), catalog, environ or {})


def written(folder: Path, name: str, text: str = "") -> Path:
    path = folder / f"{name}.log"
    path.write_text(text or job_log(name))
    return path


def full_disk() -> str:
    """A pull that ended otherwise: the disk is full."""
    pull = "Error response from daemon: toomanyrequests: You have reached your pull rate limit."
    return job_log("pull-limit").replace(
        pull, "failed to register layer: write /usr/lib/x: no space: No space left on device"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which one test of two failed."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "plan.json").write_text(json.dumps(shard_plan().to_json()))
    events = run_events({"a.py": [ended("failed", "product")], "b.py": [ended("passed", "passed")]})
    (path / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    return path


def test_each_failed_test_has_verdict_evidence_symptom_and_next_step(
    catalog: Catalog, tmp_path: Path
) -> None:
    (job,) = triage(catalog, written(tmp_path, "whole-job"))
    flaky, bad = job.tests
    assert (flaky.status, flaky.attempts) == (Status.FLAKY, 2)
    assert (bad.status, bad.verdict) == (Status.FAILED, Verdict.PRODUCT)
    assert bad.cases == ("test/registered/core/test_bad.py::TestBad::test_load",)
    assert bad.symptom == "KeyError: 'gate' @ loader.py:load"
    assert "KeyError: 'gate'" in bad.evidence[0]
    assert bad.then == Verdict.PRODUCT.row.then
    (ran,) = job.ran
    assert (ran.passed, ran.failed, ran.flaky, ran.not_run) == (2, 1, 1, 1)


def test_what_set_up_did_is_told_with_the_images_age(catalog: Catalog, tmp_path: Path) -> None:
    (job,) = triage(catalog, written(tmp_path, "whole-job"))
    facts = {fact.what: fact.value for fact in job.set_up}
    assert facts["image"] == "rocm/sgl-dev:v0.5.15-rocm720-mi30x-20260818, 2 days old when it ran"
    assert facts["triton"] == "3.5.1 was installed, was 3.4.0"
    assert "kept" in facts["AITER"]


def test_the_lines_are_those_of_repro(catalog: Catalog, tmp_path: Path) -> None:
    (job,) = triage(catalog, written(tmp_path, "whole-job"))
    tree = "'<your SGLang tree at 89abcdef0123456789abcdef0123456789abcdef>'"
    assert job.lines["the failed tests"].startswith("nox -s stage_b_amd -- --suite 1-gpu-small --test ")
    assert job.lines["the original command"].endswith(f"--checkout {tree}")


def test_a_job_that_never_came_to_its_tests_is_infrastructure(catalog: Catalog, tmp_path: Path) -> None:
    (job,) = triage(catalog, written(tmp_path, "full", full_disk()))
    assert (job.stopped, job.verdict) == (
        "it ended in its set-up (amd_ci_start_container.sh), before its tests",
        Verdict.INFRA,
    )
    assert "No space left on device" in job.evidence[0]
    assert job.then == Verdict.INFRA.row.then


def test_a_piece_of_a_log_is_judged_by_its_own_lines(catalog: Catalog, tmp_path: Path) -> None:
    piece = "  File 'x.py', line 3, in load\nKeyError: 'layers.0.scale'\n"
    (job,) = triage(catalog, written(tmp_path, "piece", piece))
    assert (job.kind, job.verdict, job.symptom) == (
        "piece of a log",
        Verdict.PRODUCT,
        "KeyError: 'layers.#.scale'",
    )
    assert "KeyError: 'layers.0.scale'" in job.evidence
    assert "whole log" in job.then
    assert "2 lines without a run" in job.problem
    (job,) = triage(catalog, written(tmp_path, "nothing", "all is well\n"))
    assert (job.verdict, job.stopped) == (None, "")


def test_a_timeout_and_a_file_that_did_not_end_are_told_apart(catalog: Catalog, tmp_path: Path) -> None:
    head = job_log("whole-job").partition("2026-08-20T09:09:06")[0]
    begin = "Begin (1/3):\npython3 /sglang-checkout/test/registered/core/test_hung.py\nloading\n"
    late = f"{head}{begin}✗ TIMEOUT: /sglang-checkout/test/registered/core/test_hung.py after 1800 seconds\n"
    stopped = f"{head}{begin}##[error]The operation was canceled.\n"
    sources = (
        written(tmp_path, "late", late),
        written(tmp_path, "stopped", stopped),
        written(tmp_path, "cut", head + begin),
    )
    tests = [job.tests[-1] for job in triage(catalog, *sources)]
    assert [test.verdict for test in tests] == [Verdict.TIMEOUT, Verdict.CANCELLED, Verdict.UNKNOWN]
    assert tests[0].symptom == "timed out @ test_hung.py"
    assert all("last line: loading" in test.evidence for test in tests)


@pytest.mark.parametrize(
    ("expires", "status"), [("2027-01-01", Status.QUARANTINED), ("2026-08-01", Status.FAILED)]
)
def test_a_quarantined_case_gates_nothing_until_its_row_expires(
    catalog: Catalog, tmp_path: Path, expires: str, status: Status
) -> None:
    row = Quarantine(
        test="test/registered/core/test_bad.py::test_load",
        hardware=tuple(catalog.hardware.classes),
        reason="known",
        issue="https://example.org/1",
        since=date(2026, 1, 1),
        expires=date.fromisoformat(expires),
    )
    held = replace(catalog, quarantine=QuarantineTable(rows=(row,), problems=()))
    (job,) = triage(held, written(tmp_path, "whole-job"), environ={"AMD_CI_TODAY": "2026-08-21"})
    bad = job.tests[-1]
    assert bad.status is status
    assert [(each.issue, each.expired) for each in bad.quarantine] == [
        ("https://example.org/1", status is Status.FAILED)
    ]


def test_a_run_folder_is_told_by_its_record(catalog: Catalog, folder: Path) -> None:
    (job,) = triage(catalog, folder)
    assert [(test.file, test.verdict) for test in job.tests] == [("a.py", Verdict.PRODUCT)]
    assert job.lines["repeat what failed"] == f"./inv repro {folder} --run --failed"


def test_an_archive_may_hold_run_folders_or_logs(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    runs, logs = tmp_path / "runs.zip", tmp_path / "logs.zip"
    with zipfile.ZipFile(runs, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"amd/run-1/{file.name}")
    with zipfile.ZipFile(logs, "w") as archive:
        archive.writestr("0_job.txt", job_log("whole-job"))
        archive.writestr("job/1_step.txt", job_log("whole-job"))
    one, two = triage(catalog, runs, logs)
    assert (one.source, [test.file for test in one.tests]) == (f"{runs}:amd/run-1", ["a.py"])
    assert (two.source, len(two.tests)) == (f"{logs}:0_job.txt", 2)


def test_a_log_of_our_own_is_told_by_its_lines(catalog: Catalog, tmp_path: Path) -> None:
    log = f"{encode(shard_plan())}\nFAIL test/registered/x/test_a.py in 3.0 s (1 failed): oom\n    other processes hold 80 GiB\n"
    (job,) = triage(catalog, written(tmp_path, "own", log))
    (test,) = job.tests
    assert (test.verdict, test.evidence) == (Verdict.OOM, ("other processes hold 80 GiB",))
    assert job.kind == "log of this project's run"


def test_what_our_own_run_did_around_its_tests_is_told(catalog: Catalog, tmp_path: Path) -> None:
    log = "\n".join(
        (
            encode(shard_plan()),
            "10:03:32 done pull in 3 min 32 s: docker.io, sha256:2b7415f2",
            "10:04:00 FAILED guards in 9.0 s: triton was changed",
            "10:04:00 FAILED outside the tests: a protected distribution was changed",
            "    - triton 3.4.0 became 3.5.1",
            "10:04:01 stage-b-amd ended with exit code 6: nothing yet",
        )
    )
    (job,) = triage(catalog, written(tmp_path, "own", log))
    facts = {fact.what: fact.value for fact in job.set_up}
    assert facts["phase pull"] == "done in 3 min 32 s: docker.io, sha256:2b7415f2"
    assert facts["phase guards"].startswith("FAILED in 9.0 s")
    assert (job.stopped, job.verdict) == (
        "it failed outside the tests: a protected distribution was changed",
        Verdict.GUARD,
    )
    assert job.evidence == ("- triton 3.4.0 became 3.5.1",)


@pytest.mark.parametrize("name", ["nothing", "damaged.zip", "empty.zip"])
def test_what_is_no_source_is_refused_with_an_example(catalog: Catalog, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "damaged.zip":
        path.write_bytes(b"PK\x03\x04 nothing more")
    elif name == "empty.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("picture.png", "")
    with pytest.raises(UsageError):
        triage(catalog, path)


def test_all_three_forms_name_the_failed_test_and_what_to_do(catalog: Catalog, tmp_path: Path) -> None:
    jobs = triage(catalog, written(tmp_path, "whole-job"), written(tmp_path, "full", full_disk()))
    console = recording_console(width=100)
    show_jobs(console, jobs)
    shown = console.export_text()
    report = report_of(jobs)
    for text in (shown, markdown_of(jobs), json.dumps(report)):
        assert "TestBad::test_load" in text
        assert Verdict.INFRA.row.then in text
    assert report["jobs"][0]["tests"][1]["verdict"] == "product"


def test_markdown_keeps_what_a_log_says_from_becoming_markup(catalog: Catalog, tmp_path: Path) -> None:
    text = job_log("whole-job").replace("KeyError: 'gate'", "KeyError: '``` @all | <b>'")
    shown = markdown_of(triage(catalog, written(tmp_path, "odd", text)))
    row = next(line for line in shown.splitlines() if "test_load" in line)
    assert row.count(" | ") == 3
    assert "````text" in shown
