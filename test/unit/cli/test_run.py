"""A stage's session: what is shown instead of a run, what is refused before one, and what is shown around it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.main import main
from ci.errors import CiError, ExitCode, InfrastructureError
from ci.execute.run import Ending
from ci.execute.run_folder import RunFolder
from ci.plan.facts import Known
from ci.plan.model import Plan
from ci.record.fold import fold
from ci.record.model import RunRecord
from support.records import ended, run_events

TEST = "test/registered/a.py"


@dataclass
class FakeRun:
    """In place of a run: it enters the view, reports an end, and returns its exit code."""

    plan: Plan
    catalog: Catalog
    environ: Mapping[str, str]
    view: Any
    report: Any
    say: Any
    acknowledge: Any
    baseline: Any = None

    # of every run of a test
    record: ClassVar[RunRecord]
    failure: ClassVar[CiError | None] = None
    exit_code: ClassVar[int] = 0

    def act(self) -> int:
        folder = RunFolder(path=Path(self.plan.placement.runs_dir) / "run")
        folder.logs.mkdir(parents=True)
        with self.view(folder):
            pass
        self.report(Ending(folder=folder, record=self.record, failure=self.failure, exit_code=self.exit_code))
        return self.exit_code


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A laptop without GPUs, on which no signal is taken and nothing is run."""
    known = Known(value="a" * 40, source="git")
    monkeypatch.setattr("ci.facts.gather.commit_of", lambda *_, **__: known)
    monkeypatch.setattr("ci.cli.run.stop_once", lambda _note: None)
    monkeypatch.setattr("ci.cli.run.require_rehearsal", lambda _plan: None)
    monkeypatch.setattr("ci.cli.run.Run", FakeRun)
    monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))


# engines are looked for on the PATH
pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]
Capture = pytest.CaptureFixture[str]
CPU = ("--hardware", "cpu", "--executor", "host")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no stage given"),
        (["stage-q-amd"], "unknown stage 'stage-q-amd'"),
        (["stage-a-amd", "--tset", "x"], "did you mean '--test'"),
        (["stage-a-amd", "--suite", "bogus"], "unknown suite 'bogus'"),
        (["stage-a-amd", "--test", ""], "--test: is empty"),
        (["stage-a-amd", "--image="], "--image: is empty"),
        (["stage-a-amd", "--env", "=x"], "'=x' has no name before the ="),
        (["stage-a-amd", "--jobs", "9" * 99], "is neither a number from 1 to 9999 nor 'gpus'"),
        (["stage-a-amd", "--checkout", "/etc"], "git clone https://github.com/sgl-project/sglang"),
        (["stage-a-amd", "--plan", "/dev/null"], "nox -s plan -- stage_a_amd --json > plan.json"),
    ],
)
def test_what_is_invalid_is_exit_2(capsys: Capture, arguments: list[str], words: str) -> None:
    assert main(["run", *arguments]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert words in err
    assert len(err) < 600


def test_a_secret_in_an_option_is_refused_before_the_plan(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    assert main(["run", "stage-a-amd", *CPU, "--env", "X=hf_abcdefgh"]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert "a secret would be in the plan" in err
    assert "hf_abcdefgh" not in out + err


def test_in_actions_secrets_are_masked_first(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    assert main(["run", "stage-a-amd", *CPU, "--list"]) == 0
    assert capsys.readouterr().out.startswith("::add-mask::hf_abcdefgh\n")


def test_a_list_and_a_dry_run_run_nothing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.cli.run.Run", None)
    assert main(["run", "stage-a-amd", *CPU, "--list"]) == 0
    assert all(line.count("\t") == 2 for line in capsys.readouterr().out.splitlines())
    assert main(["run", "stage-a-amd", *CPU, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["placement"]["command"][:4] == ["nox", "-s", "stage_a_amd", "--"]
    assert data["work"]["rehearsal"] is True


def test_a_machine_that_cannot_rehearse_is_exit_4_and_runs_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_plan: Plan) -> None:
        raise InfrastructureError("no AVX2 here")

    monkeypatch.setattr("ci.cli.run.Run", None)
    monkeypatch.setattr("ci.cli.run.require_rehearsal", refuse)
    assert main(["run", "stage-a-amd", *CPU]) == ExitCode.INFRASTRUCTURE
    assert "no AVX2 here" in capsys.readouterr().err


class TestARun:
    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str, **end: Any) -> Path:
        """Run with this end; returns the run's folder."""
        for name, value in end.items():
            monkeypatch.setattr(FakeRun, name, value, raising=False)
        assert main(["run", "stage-a-amd", *CPU, *words]) == FakeRun.exit_code
        return tmp_path / "runs" / "run"

    def failed(self) -> RunRecord:
        command = "nox -s stage_a_amd -- --jobs 2"
        return fold(run_events({TEST: [ended("failed", "product")]}, command=command))

    def test_the_plan_comes_first_and_the_line_that_repeats_it_last(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder = self.run(monkeypatch, tmp_path, record=self.failed(), exit_code=1)
        lines = capsys.readouterr().out.splitlines()
        assert not [line for line in lines if "hardware_class" in line]
        assert lines[-1].startswith("repeat it: nox -s stage_a_amd -- ")
        assert f"--test {TEST} --jobs 2" in lines[-1]
        assert lines[-2] == f"report: {folder / 'report.html'}"
        assert len([line for line in lines if "nox -s" in line]) == 1
        written = {"junit.xml", "summary.md", "report.html", "terminal.svg"}
        assert written <= {path.name for path in folder.iterdir()}

    def test_all_is_shown_where_it_is_asked_for(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder = self.run(monkeypatch, tmp_path, "-v", record=self.failed(), exit_code=1)
        lines = capsys.readouterr().out.splitlines()
        assert any("hardware_class" in line for line in lines)
        assert str(folder / "junit.xml") in lines
        assert lines[-1].startswith("repeat it: ")

    def test_in_actions_the_plan_is_in_a_closed_group(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        self.run(monkeypatch, tmp_path, record=self.failed(), exit_code=1)
        lines = capsys.readouterr().out.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("::group::plan "))
        assert "hardware_class" in "".join(lines[at : lines.index("::endgroup::", at)])

    def test_a_run_that_passed_has_nothing_to_repeat(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        passed = fold(run_events({TEST: [ended("passed", "passed")]}))
        self.run(monkeypatch, tmp_path, record=passed, exit_code=0)
        assert "repeat it" not in capsys.readouterr().out

    def test_why_a_record_stops_early_is_on_standard_error(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        failure = InfrastructureError("the container ended", then="docker ps")
        self.run(monkeypatch, tmp_path, record=self.failed(), failure=failure, exit_code=4)
        out, err = capsys.readouterr()
        assert failure.render() in err
        assert "repeat it" in out.splitlines()[-1]

    def test_with_json_standard_output_is_for_machines(
        self, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.run(monkeypatch, tmp_path, "--json", record=self.failed(), exit_code=1)
        out, err = capsys.readouterr()
        assert out == ""
        assert "repeat it: nox" in err
