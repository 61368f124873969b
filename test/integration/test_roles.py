"""Prefill, decode and SGLang's router on this machine and in a container, for real: a request through all of them, a killed server."""

import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen  # a test of a whole program starts it
from typing import Any

import pytest

from support.docker_runs import Runs, ours
from support.engines import Engine
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


def test_in_a_container_all_roles_are_in_it(engine: Engine, rehearsal_image: str, tmp_path: Path) -> None:
    runs = Runs(REPOSITORY, engine.host, rehearsal_image, tmp_path / "runs", stage="stage-b-amd")
    done = runs.run("--suite", "8-gpu-disaggregation", "--hardware", "cpu", timeout_s=180)
    assert done.code == 0, done.text
    lines = (runs.newest() / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    (ended,) = (event for event in events if event["type"] == "test-ended")
    assert (ended["outcome"], ended["cases"]) == ("passed", {"passed": 3})
    addresses = {event["role"]: event["host"] for event in events if event["type"] == "role-started"}
    assert addresses == dict.fromkeys(("prefill", "decode", "router"), "127.0.0.1")
    assert not ours(engine)
