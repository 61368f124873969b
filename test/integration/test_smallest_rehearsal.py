"""The smallest rehearsal: one test file of stage a through the real command, engine and reports."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from subprocess import run  # a test of a whole program starts it

import pytest

from ci.plan.model import Plan
from support.measured import measured_environ

REPOSITORY = Path(__file__).parent.parent.parent
TEST = "test/registered/sampling/test_constrained_json.py"


@pytest.mark.engine
def test_one_test_of_stage_a_is_rehearsed_for_real(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "ci", "run", "stage-a-amd", "--hardware", "cpu", "--test", TEST, "--json"]
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AMD_CI_RUNS": str(tmp_path / "runs"),
        **measured_environ(),
    }
    done = run(argv, cwd=REPOSITORY, env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"REHEARSAL" in done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["type"] == "run-started"
    assert events[-1] == {**events[-1], "type": "run-ended", "exit_code": 0}
    assert [event["outcome"] for event in events if event["type"] == "test-ended"] == ["passed"]

    (folder,) = (entry for entry in (tmp_path / "runs").iterdir() if not entry.name.startswith("."))
    plan = Plan.from_json(json.loads((folder / "plan.json").read_text()), where="plan.json")
    assert plan.digest == events[0]["plan_digest"]
    assert plan.work.rehearsal
    recorded = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["type"] for event in recorded] == [event["type"] for event in events]
    suites = ET.parse(folder / "junit.xml").getroot()
    assert int(suites.get("tests", "0")) >= 1
    assert suites.get("failures") == "0"
    for name in ("summary.md", "report.html"):
        assert "REHEARSAL" in (folder / name).read_text(), name
    assert not list((tmp_path / "runs" / ".live").iterdir()), "a run that ended is still noted as alive"
