"""The real SGLang in a container: its environment is mounted read-only, no layer of 5 GB is made."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.engines import Engine
from support.files import REPOSITORY

SANITY = "test/registered/amd/test_basic_sanity.py"


def test_the_environment_of_the_host_serves_in_a_container(
    engine: Engine, rehearsal_image: str, tmp_path: Path
) -> None:
    options = [
        "--executor",
        "docker",
        "--image",
        rehearsal_image,
        "--engine",
        "sglang",
        "--yes",
        "--test",
        SANITY,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ci", "run", "stage-a-amd", "--hardware", "cpu", *options],
        cwd=REPOSITORY,
        env={**os.environ, "DOCKER_HOST": engine.host, "AMD_CI_RUNS": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    (run,) = tmp_path.glob("2*")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    (agent,) = [event for event in events if event["type"] == "agent-started"]
    assert agent["host"] != os.uname().nodename
    placement = json.loads((run / "plan.json").read_text())["placement"]
    assert placement["python"].endswith("/bin/python3")
    assert all(Path(folder).is_dir() for folder in placement["engine_build"]["folders"])
    (log,) = run.glob("logs/*server-1.log")
    assert "The server is fired up" in log.read_text(errors="replace")
