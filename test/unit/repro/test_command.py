"""`./inv repro`: what is understood and printed. Nothing is run."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.executors import ExecutorKind
from ci.cli.repro import repro
from ci.errors import CiError, ExitCode, UsageError
from ci.plan.compare.capsule import encode
from support.github_api import FakeGitHub, job, serve
from support.planning import catalog, on_cluster, planned, registration, request
from support.sglang_log import job_log
from support.shard_plans import shard_plan

NAME = "stage-b-test-1-gpu-small-amd (linux-north-1gpu, 3/14)"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGitHub]:
    monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
    with serve() as fake:
        yield fake


def asked(fake: FakeGitHub, capsys: pytest.CaptureFixture[str], url: str, *more: str) -> Mapping[str, Any]:
    """The report of `./inv repro URL --json` with the stand-in as the API."""
    assert repro([url, "--api", fake.url, "--json", *more]) == 0
    report: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    return report


URL = "https://github.com/o/r/actions/runs/7/job/42"
pytestmark = pytest.mark.processes  # git is asked which commit this tree is at


class TestLinks:
    def test_a_jobs_link_gives_its_plan(self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]) -> None:
        made = shard_plan()
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME))
        github.put_log(42, f"2026-05-29T07:12:03.1Z 07:12:03 {encode(made)}\n".encode())
        report = asked(github, capsys, URL)
        assert report["digest"] == made.digest
        assert {"what": "conclusion", "value": "failure", "source": "job 42"} in report["facts"]

    def test_a_runs_link_gives_its_only_failed_job(
        self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        jobs = [job(1, "plan", "success"), job(42, f"wave-2 / {NAME}"), job(3, "finish")]
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 3, "jobs": jobs})
        github.put_log(42, encode(shard_plan()).encode())
        assert asked(github, capsys, "https://github.com/o/r/actions/runs/7")["digest"] == shard_plan().digest

    def test_a_run_with_several_failed_jobs_asks_which(self, github: FakeGitHub) -> None:
        jobs = [job(42, NAME), job(43, NAME.replace("3/14", "4/14"))]
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 2, "jobs": jobs})
        with pytest.raises(UsageError) as caught:
            repro(["https://github.com/o/r/actions/runs/7", "--api", github.url])
        assert "./inv repro https://github.com/o/r/actions/runs/7/job/43" in caught.value.render()

    def test_a_run_without_a_failure_is_nothing_to_repeat(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 1, "jobs": [job(1, NAME, "success")]})
        with pytest.raises(CiError) as caught:
            repro(["https://github.com/o/r/actions/runs/7", "--api", github.url])
        assert caught.value.exit_code is ExitCode.NOTHING_SELECTED

    def test_an_expired_log_leaves_what_the_name_says(
        self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME))
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Gone"}, 410)
        with pytest.raises(UsageError, match="has expired"):
            repro([URL, "--api", github.url])
        shown = capsys.readouterr().out
        assert "nox -s stage_b_amd -- --suite 1-gpu-small --shard 3/14" in shown
        assert "c" * 40 in shown

    def test_an_expired_log_of_an_unknown_suite_says_both(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME.replace("small", "smal")))
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Gone"}, 410)
        with pytest.raises(UsageError) as caught:
            repro([URL, "--api", github.url])
        assert "has expired" in caught.value.what
        assert "unknown suite 'stage-b-test-1-gpu-smal-amd'" in caught.value.render()
        assert "shard 3/14" in caught.value.render()


class TestSources:
    def test_a_job_that_ended_before_its_tests_ends_as_its_verdict(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log = tmp_path / "job.log"
        log.write_text(re.sub("toomanyrequests.*", "layer: No space left on device", job_log("pull-limit")))
        assert repro([str(log)]) == int(ExitCode.INFRASTRUCTURE)
        shown = capsys.readouterr().out
        assert "the job ended in its set-up (amd_ci_start_container.sh)" in shown
        assert "no test ran" in shown

    @pytest.mark.parametrize(
        ("options", "lines"),
        [
            ((), {"the same plan": "host", "the same plan, there": "slurm"}),
            (("--executor", "slurm"), {"the same plan": "slurm"}),
        ],
    )
    def test_a_plan_of_a_cluster_has_a_line_for_here_and_one_for_there(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        options: tuple[str, ...],
        lines: Mapping[str, str],
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        here = on_cluster([registration("test/a.py")], "laptop")
        file = tmp_path / "plan.json"
        file.write_text(planned(catalog(), here, request(executor=ExecutorKind.SLURM)).text())
        assert repro([str(file), "--json", *options]) == 0
        shown = json.loads(capsys.readouterr().out)["lines"]
        found = {name: text.split()[-1] for name, text in shown.items() if name.startswith("the same plan")}
        assert found == lines

    @pytest.mark.parametrize("option", ["--digest=123", "--checkout=.", "--executor=slurm"])
    def test_an_option_without_an_effect_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        file = tmp_path / "plan.json" if "checkout" in option else tmp_path / "job.log"
        text = json.dumps(shard_plan().to_json()) if "checkout" in option else job_log("whole-job")
        file.write_text(text)
        with pytest.raises(UsageError):
            repro([str(file), option])

    def test_failed_of_a_source_that_names_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        file = tmp_path / "plan.json"
        file.write_text(json.dumps(shard_plan().to_json()))
        with pytest.raises(CiError) as caught:
            repro([str(file), "--failed"])
        assert caught.value.exit_code is ExitCode.NOTHING_SELECTED

    def test_a_test_of_this_repository_by_its_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert repro(["test_constrained_json.py"]) == 0
        assert (
            "nox -s stage_a_amd -- --suite 1-gpu-small --test test/registered/sampling/test_constrained_json.py"
            in capsys.readouterr().out
        )

    def test_several_runs_in_one_log_are_distinguished_by_digest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        one, two = shard_plan(), shard_plan(env=(("SGLANG_X", "1"),))
        log = tmp_path / "log"
        log.write_text(f"{encode(one)}\n{encode(two)}\n")
        with pytest.raises(UsageError) as caught:
            repro([str(log)])
        assert f"--digest {two.digest[:12]}" in caught.value.render()
        assert repro([str(log), "--digest", two.digest[:12], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == two.digest
