"""`nox -s report`: sources, what the workflow planned, exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.cli import report as module
from ci.cli.report import report
from ci.errors import CiError, UsageError
from support.merged_runs import STAGE_B_SMALL, shard_folder
from support.records import ended

LABEL = "linux-north-1gpu"


@pytest.fixture(autouse=True)
def _small_catalog(monkeypatch: pytest.MonkeyPatch, catalog: Catalog) -> None:
    monkeypatch.setattr(module, "load_catalog", lambda: catalog)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The run folders of a whole suite of three shards."""
    for index in (1, 2, 3):
        shard_folder(tmp_path / f"runs/artifact-{index}/run-{index}", index)
    return tmp_path / "runs"


def needs(*shards: str) -> str:
    """`toJSON(needs)` of a workflow that planned these shards of the suite."""
    jobs = [{"name": f"{STAGE_B_SMALL} ({LABEL}, {shard})"} for shard in shards]
    outputs = {"wave_1": json.dumps({"include": jobs}), "wave_1_jobs": str(len(jobs)), "tree": ""}
    return json.dumps({"plan": {"result": "success", "outputs": outputs}, "wave-1": {"result": "failure"}})


def test_it_writes_page_junit_and_summary_and_ends_with_0_however_the_tests_ended(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(runs / "artifact-1")
    failed = {"test/registered/x/test_11.py": [ended("failed", "product", evidence=("boom",))]}
    shard_folder(runs / "artifact-1/run-1", 1, attempts=failed)
    summary = tmp_path / "step.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    out, page = tmp_path / "out", tmp_path / "amd-pr-report.html"
    assert report([str(runs), "--output", str(out), "--page", str(page)]) == 0
    assert {"report.html", "junit.xml", "summary.md"} <= {path.name for path in out.iterdir()}
    assert page.read_text() == (out / "report.html").read_text()
    assert "boom" in page.read_text()
    assert summary.read_text().startswith("## ❌ stage-b-amd: tests failed")
    shown = capsys.readouterr().out
    assert f"{STAGE_B_SMALL}: longest shard" in shown.replace("\n", " ")
    log = out / "runs/run-1/logs/test.1.log"
    assert log.read_text().endswith("in shard 1\n")
    assert 'href="runs/run-1/logs/test.1.log"' in page.read_text()


def test_json_has_the_runs_and_their_balance(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(runs), "--output", str(tmp_path / "out"), "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in data["runs"]] == [f"{STAGE_B_SMALL} {index}/3" for index in (1, 2, 3)]
    (balance,) = data["balance"]
    assert sum(shard["took_s"] for shard in balance["shards"]) == sum(range(12))
    assert balance["saved_s"] == balance["longest_s"] - balance["best_s"]


def test_what_was_planned_comes_from_the_workflow(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEEDS", needs("1/3", "2/3"))
    assert report([str(runs / "artifact-1"), str(runs / "artifact-2"), "--output", str(tmp_path / "a")]) == 0
    monkeypatch.setenv("NEEDS", needs("1/3", "2/3", "3/3"))
    with pytest.raises(CiError) as caught:
        report([str(runs / "artifact-1"), "--output", str(tmp_path / "b")])
    assert caught.value.exit_code == 4
    assert "no run of shards 2/3, 3/3 was found" in caught.value.render()
    assert (tmp_path / "b/report.html").is_file(), "what there is, is reported"


def test_a_workflow_of_which_no_run_came_back_is_reported_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("NEEDS", needs("1/3"))
    with pytest.raises(CiError) as caught:
        report([str(tmp_path / "empty"), "--output", str(tmp_path / "out")])
    assert caught.value.exit_code == 4
    assert "no run" in (tmp_path / "out/summary.md").read_text()


def test_all_that_is_wrong_is_said_at_once_with_the_worst_code(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut")
    sources = [str(runs / "artifact-1"), str(tmp_path / "bad.zip"), str(tmp_path / "nowhere")]
    with pytest.raises(CiError) as caught:
        report([*sources, "--output", str(tmp_path / "out")])
    assert caught.value.exit_code == 2
    assert len(caught.value.problems) == 3


def test_without_any_run_there_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CiError, match="there is no run to report"):
        report([str(tmp_path / "empty"), "--output", str(tmp_path / "out")])


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path, runs: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        report([str(runs), "--output", str(runs)])


def test_a_link_is_added_to_the_page_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "step.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert report(["--link", "The page=https://github.com/o/r/actions/runs/7/artifacts/1"]) == 0
    assert summary.read_text() == "\n[The page](https://github.com/o/r/actions/runs/7/artifacts/1)\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "RUN|ZIP|URL: is missing"),
        (["--link", "x"], "is not NAME=https://..."),
        (["--link", "x=javascript:1"], "is not NAME=https://..."),
        (["--link", "a](b=https://c"], "is not NAME=https://..."),
        (["run", "--api", "https://x"], "no source is a link"),
        (["run", "--outptu", "x"], "--output"),
    ],
)
def test_invalid_options_are_named(words: list[str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        report(words)
    assert problem in caught.value.render()
