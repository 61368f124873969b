"""`ci_plan` as a command: what a job gets from it, what a person reads, and how the finish job judges."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.cli.ci_plan import ci_plan
from ci.errors import CiError, ExitCode, UsageError
from support.http_server import serve_http

NEEDS = {
    "plan": {"result": "success", "outputs": {"wave_1_jobs": "1", "wave_2_jobs": "0", "wave_3_jobs": "0"}},
    "wave-1": {"result": "success"},
    "wave-2": {"result": "skipped"},
    "wave-3": {"result": "skipped"},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The files of a step: its outputs and its part of the run's page."""
    output, summary = tmp_path / "output", tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    return output, summary


@pytest.mark.processes
def test_a_full_run_hands_out_its_jobs_and_says_them_on_the_page(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ci_plan(["--event", "schedule", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counts = [len(wave) for wave in found["waves"]]
    assert sum(counts) > 0
    output, summary = (file.read_text() for file in files)
    for number, count in enumerate(counts, start=1):
        assert f"wave_{number}_jobs<<" in output
        assert f"\n{count}\n" in output
    for job in (job for wave in found["waves"] for job in wave):
        assert job["name"] in summary
        assert job["name"] in output


@pytest.mark.processes
def test_only_the_stages_that_were_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert ci_plan(["--event", "schedule", "--stage", "stage-a-amd", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {job["session"] for wave in found["waves"] for job in wave} <= {"stage_a_amd"}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--event", "foo"], "unknown event 'foo'"), (["--base", "nosuchref"], "nosuchref")],
)
def test_what_a_person_mistypes_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ci_plan(arguments)
    assert words in caught.value.render()


@pytest.mark.processes
def test_a_person_reads_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert ci_plan(["--event", "schedule", "--stage", "stage-a-amd", "--why"]) == 0
    assert "stage-a" in capsys.readouterr().out


def test_invalid_options_and_inputs_are_named() -> None:
    with pytest.raises(UsageError) as options:
        ci_plan(["--evnet", "schedule"])
    assert "--evnet" in options.value.render()
    with pytest.raises(UsageError) as inputs:
        ci_plan(["--event", "schedule", "--stage", "stage-z"])
    assert "stage-z" in inputs.value.render()


def test_the_finish_job_passes_when_all_ended_as_planned(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEEDS", json.dumps(NEEDS))
    assert ci_plan(["--verdict"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(NEEDS)
    assert files[1].read_text().count("\n- ") == len(NEEDS)


def test_the_finish_job_fails_with_each_job_and_its_code(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEEDS", json.dumps({**NEEDS, "wave-1": {"result": "failure"}}))
    with pytest.raises(CiError, match="1 of the jobs") as caught:
        ci_plan(["--verdict", "--json"])
    assert caught.value.exit_code is ExitCode.TESTS_FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["code"], [row["where"] for row in found["problems"]]) == (1, ["wave-1"])
    assert "- **wave-1: failed" in files[1].read_text()


class Hub:
    """A registry on the loopback address with one tag, which is another image each time that its manifest is asked for."""

    TAG = "v0.5.12-rocm700-mi30x-20260528"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[str] = []

    def __call__(self, path: str, _headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/v2/org/engine/tags/list"):
            return 200, {}, json.dumps({"tags": [self.TAG, "v0.5.12-rocm700-mi30x-20260501"]}).encode()
        if path == f"/v2/org/engine/manifests/{self.TAG}":
            config = self._put({"config": {}, "rootfs": {"diff_ids": [str(len(self.manifests))]}})
            digest = self._put({"schemaVersion": 2, "config": {"digest": config}, "layers": []})
            self.manifests.append(digest)
            return 200, {}, self.blobs[digest]
        body = self.blobs.get(path.rpartition("/")[2])
        return (200, {}, body) if body is not None else (404, {}, b"{}")

    def _put(self, content: object) -> str:
        body = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.blobs[digest] = body
        return digest


@pytest.mark.processes
def test_in_actions_every_job_of_every_wave_gets_the_image_that_was_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub()
    with serve_http() as server:
        server.answer = hub
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "schedule",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "AMD_CI_REGISTRY": server.url.removeprefix("http://"),
            "AMD_CI_TODAY": "2026-05-29",
        }.items():
            monkeypatch.setenv(name, value)
        assert ci_plan(["--json"]) == 0
    (digest,) = hub.manifests
    found = json.loads(capsys.readouterr().out)
    (image,) = {job["image"] for wave in found["waves"] for job in wave}
    assert image.endswith(f"/org/engine:{Hub.TAG}@{digest}")
    assert (tmp_path / "output").read_text().count(image) == len(
        [job for wave in found["waves"] for job in wave]
    )
    assert [(row["family"], row["rocm"], row["age_days"]) for row in found["images"]] == [("mi30x", "700", 1)]
