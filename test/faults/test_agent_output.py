"""Output that floods, is not text or cannot be written."""

import json
import subprocess
import sys
import time
from pathlib import Path

from support.agent_process import (
    QUICK,
    STUBBORN,
    AgentProcess,
    a_suite,
    is_alive,
    pid_in,
)
from support.full_disk import file_system


class TestOutput:
    def test_a_flood_is_cut_in_the_middle_and_counted(self, agent: AgentProcess) -> None:
        text = "import os\ndef test_floods():\n    print('the first line', flush=True)\n"
        text += "    for _ in range(3200): os.write(1, b'x' * 62500 + b'\\n')\n    print('the last line')\n"
        limits = {"log_head_bytes": 1 << 20, "log_tail_bytes": 1 << 16}
        agent.start(a_suite([agent.write("test_a.py", text)]), limits=limits)
        peak_kib = 0
        while agent.process.poll() is None:
            status = Path(f"/proc/{agent.process.pid}/status").read_text()
            peak = [line for line in status.splitlines() if line.startswith("VmHWM")]
            peak_kib = max(peak_kib, int(peak[0].split()[1])) if peak else peak_kib
            time.sleep(0.05)
        agent.wait()
        ended = agent.ended("test_a.py")
        log = agent.log("test_a.py")
        assert ended["verdict"] == "passed"
        assert ended["log_bytes"] == (1 << 20) + (1 << 16)
        assert ended["log_bytes"] + ended["log_omitted_bytes"] > 200_000_000
        assert f"[... {ended['log_omitted_bytes']} bytes of output left out here ...]" in log
        assert "the first line" in log[:1000]
        assert "the last line" in log[-1000:]
        assert peak_kib < 100_000
        assert sum(len(json.dumps(event)) for event in agent.events) < 1_000_000

    def test_output_comes_live_and_invalid_utf8_is_replaced(self, agent: AgentProcess) -> None:
        text = "import os, time\ndef test():\n    os.write(1, b'caf\\xe9 \\xff\\n'); time.sleep(1.5)\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        line = next(e for e in agent.of("output") if "caf\ufffd \ufffd" in e["lines"])
        assert line["elapsed_s"] < agent.of("test-ended")[0]["elapsed_s"] - 1
        assert b"caf\xe9 \xff\n" in (agent.run_dir / "logs/test_a.py.log").read_bytes()

    def test_a_log_folder_that_cant_be_made_is_evidence_and_the_events_go_on(
        self, agent: AgentProcess
    ) -> None:
        (agent.run_dir / "logs").write_text("in the way")
        passing = agent.write("test_a.py", "def test_a(): print('hello')\n")
        failing = agent.write("test_b.py", "def test_b(): raise RuntimeError('who knows')\n")
        agent.run(a_suite([passing, failing]))
        assert agent.ended("test_a.py")["verdict"] == "passed"
        assert "the log could not be written" in agent.ended("test_a.py")["evidence"][0]
        assert agent.ended("test_b.py")["verdict"] == "product"
        assert "the log could not be written" in " ".join(agent.ended("test_b.py")["evidence"])
        assert any("hello" in event["lines"] for event in agent.of("output"))

    def test_a_full_disk_is_named_and_excuses_no_case_that_says_why_it_failed(
        self, agent: AgentProcess
    ) -> None:
        plain = agent.write("test_a.py", "def test(): raise RuntimeError('who knows')\n")
        hang = agent.write("test_b.py", "def test(): raise RuntimeError('HW Exception by GPU node-1')\n")
        with file_system(agent.run_dir / "logs", "size=4k") as logs:
            (logs / "full").write_bytes(bytes(4096))
            agent.run(a_suite([plain, hang]))
        assert agent.ended("test_a.py")["verdict"] == "product"
        assert "No space left on device" in agent.ended("test_a.py")["evidence"][-1]
        assert agent.ended("test_a.py")["log_bytes"] == 0
        assert agent.ended("test_b.py")["verdict"] == "hardware"

    def test_the_end_of_the_reader_ends_everything(self, agent: AgentProcess) -> None:
        text = STUBBORN + "def test():\n    stubborn('pid')\n    while True: print('more'); time.sleep(0.1)\n"
        spec = agent.run_dir / "spec.json"
        spec.write_text(json.dumps(agent.spec(a_suite([agent.write("test_a.py", text)]), limits=QUICK)))
        argv, pipe = [sys.executable, str(agent.program), str(spec)], subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
            grandchild = pid_in(agent, "pid")
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(10) == 1
        assert not is_alive(grandchild)
