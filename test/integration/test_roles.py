"""Prefill, decode and SGLang's router on this machine, for real: a request through all of them, and what a killed server costs."""

import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen  # a test of a whole program starts it
from typing import Any

import pytest

from support.measured import measured_environ

REPOSITORY = Path(__file__).parent.parent.parent
ARGV = [sys.executable, "-m", "ci", "run", "stage-b-amd", "--suite", "8-gpu-disaggregation", "--json"]


@pytest.mark.engine
@pytest.mark.parametrize("killed", ["", "prefill"])
def test_a_rehearsal_of_the_suite_with_roles(tmp_path: Path, killed: str) -> None:
    runs = tmp_path / "runs"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AMD_CI_RUNS": str(runs), **measured_environ()}
    events: list[dict[str, Any]] = []
    with Popen(
        [*ARGV, "--hardware", "cpu"], cwd=REPOSITORY, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if killed and events[-1]["type"] == "role-ready" and events[-1]["role"] == "router":
                (path,) = runs.glob(f"*/roles/0/*/{killed}.json")
                os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
    (ended,) = (event for event in events if event["type"] == "test-ended")
    ends = {event["role"]: event for event in events if event["type"] == "role-ended"}
    assert set(ends) == {"prefill", "decode", "router"}
    if not killed:
        assert (process.returncode, ended["outcome"], ended["cases"]) == (0, "passed", {"passed": 3})
        return
    assert process.returncode == 1
    assert ended["evidence"][0] == "prefill failed: the prefill server was ended by SIGKILL"
    assert [role for role, end in ends.items() if end["failed"]] == ["prefill"]
    assert {ends[role]["because"] for role in ("decode", "router")} == {"ended because prefill failed"}
