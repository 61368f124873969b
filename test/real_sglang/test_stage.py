"""Stages on the real SGLang, through the real Nox; the environment is made on first use (5 GB), in this user's cache."""

import json
import os
import shutil
import sys
from pathlib import Path
from subprocess import run  # a test of whole programs starts them

import pytest

REPOSITORY = Path(__file__).parents[2]
SANITY = "test/registered/amd/test_basic_sanity.py"


def stage_a(tmp_path: Path, *options: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, the record's events, and what was printed."""
    nox = shutil.which("nox", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert nox
    runs = tmp_path / "runs"
    environ = {**os.environ, "AMD_CI_RUNS": str(runs)}
    done = run(
        [nox, "-s", "stage_a_amd", "--", "--engine", "sglang", "--hardware", "cpu", *options],
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    files = sorted(runs.glob("*/events.jsonl"))
    events = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return done.returncode, events, done.stdout + done.stderr


def test_our_own_tests_pass_on_the_real_server(tmp_path: Path) -> None:
    code, events, printed = stage_a(tmp_path, "--yes", "--test", SANITY)
    assert code == 0, printed[-3000:]
    (started,) = [event for event in events if event["type"] == "run-started"]
    assert str(started["engine"]).startswith("sglang 0.")
    assert started["rehearsal"] is True
    (log,) = (tmp_path / "runs").glob("*/logs/*server-1.log")
    assert "The server is fired up" in log.read_text(errors="replace")
    assert "sgl_kernel" in printed, "what stands in for the kernels is said"


def test_nobody_is_surprised_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMD_CI_CACHE", str(tmp_path / "cache"))
    code, events, printed = stage_a(tmp_path, "--test", SANITY)
    assert code == 4
    assert events == []
    assert "GiB on disk" in printed
    assert "nox -s stage_a_amd -- --yes --engine sglang" in printed
    assert not list((tmp_path / "cache").glob("engines/*/bin"))
