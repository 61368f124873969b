"""What a test process is started with, and what the agent passes on from it."""

import json
import os
from pathlib import Path

import pytest

from support.agent_process import (
    AgentProcess,
    a_suite,
    wait_for,
)


class TestTheEnvironmentOfATest:
    def test_the_environment_is_the_agents_the_suites_and_ours(self, agent: AgentProcess) -> None:
        text = "import json, os\ndef test(): open('env.json', 'w').write(json.dumps(dict(os.environ)))\n"
        suite = a_suite(
            [agent.write("test_a.py", text)], env={"SGLANG_USE_AITER": "1", "PYTHONPATH": "/of/the/set"}
        )
        agent.run(suite, pythonpath=["/of/ours"])
        env = json.loads((agent.root / "env.json").read_text())
        passed_on = {key for key in ("PATH", "HOME", "LANG", "LC_CTYPE") if key in os.environ or key in env}
        ours = {f"AMD_CI_{name}" for name in ("TOKEN", "ATTEMPT_TOKEN", "SPEC", "TEST", "SUITE", "EVENTS_FD")}
        ours |= {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED"}
        ours |= {"SGLANG_USE_AITER"}
        assert {key for key in env if not key.startswith("PYTEST_")} - passed_on == ours
        assert env["PYTHONPATH"] == "/of/ours:/of/the/set"
        assert (env["AMD_CI_TEST"], env["AMD_CI_SUITE"], env["AMD_CI_TOKEN"]) == (
            "test_a.py",
            "suite",
            agent.token,
        )

    def test_a_strict_configuration_around_the_tests_has_no_say(self, agent: AgentProcess) -> None:
        (agent.root / "pytest.ini").write_text(
            "[pytest]\naddopts = --no-such-option\npython_files = nothing.py\n"
        )
        (agent.root.parent / "conftest.py").write_text("raise RuntimeError('above the tree')\n")
        (agent.root / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef tree(): return 1\n")
        text = "import warnings\ndef test(tree): warnings.warn('only a warning', stacklevel=1)\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert agent.ended("test_a.py")["verdict"] == "passed"

    def test_a_test_spawns_processes_and_finds_nothing_of_the_agent_on_its_path(
        self, agent: AgentProcess
    ) -> None:
        text = "import multiprocessing, sys\ndef work(queue): queue.put(__name__)\n"
        text += "def test():\n    assert not [entry for entry in sys.path if entry.endswith('.pyz')]\n"
        text += "    spawn = multiprocessing.get_context('spawn')\n    queue = spawn.Queue()\n"
        text += "    child = spawn.Process(target=work, args=(queue,))\n    child.start()\n"
        text += "    assert queue.get(timeout=30) == 'test_a'\n    child.join()\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert agent.ended("test_a.py")["verdict"] == "passed"

    def test_chosen_cases_and_extra_arguments_reach_pytest(self, agent: AgentProcess) -> None:
        text = "def test_a(): pass\ndef test_b(): pass\nclass TestC:\n    def test_d(self): pass\n"
        test = agent.write("test_a.py", text)
        chosen = {**test, "cases": ["test_a.py::test_b", "test_a.py::TestC::test_d"]}
        agent.run(a_suite([chosen]), pytest_args=["-k", "not test_d"])
        assert list(agent.cases("test_a.py")) == ["test_b"]

    def test_a_script_runs_as_by_hand_and_needs_no_case(self, agent: AgentProcess) -> None:
        text = "import multiprocessing, os, sys\ndef work(queue): queue.put(__name__)\n"
        text += "if __name__ == '__main__':\n    assert sys.argv == [os.path.abspath(__file__)], sys.argv\n"
        text += "    assert sys.path[0] == os.path.dirname(os.path.abspath(__file__)), sys.path\n"
        text += "    spawn = multiprocessing.get_context('spawn')\n    queue = spawn.Queue()\n"
        text += (
            "    spawn.Process(target=work, args=(queue,)).start()\n    assert queue.get() == '__mp_main__'\n"
        )
        agent.run(a_suite([{**agent.write("t/run_a.py", text), "kind": "script"}]))
        ended = agent.ended("t/run_a.py")
        assert (ended["outcome"], ended["verdict"], ended["cases"], ended["leftovers"]) == (
            "passed",
            "passed",
            {},
            [],
        )

    def test_a_script_that_fails_shows_the_exception_that_ended_it(self, agent: AgentProcess) -> None:
        text = "raise ValueError('a word about the latency score timeout of the bloom headroom')\n"
        agent.run(a_suite([{**agent.write("run_a.py", text), "kind": "script"}]))
        ended = agent.ended("run_a.py")
        assert (ended["verdict"], ended["exit_code"]) == ("product", 1)
        assert "ValueError: a word about" in ended["evidence"][0]

    def test_metrics_notes_and_progress_pass_through(self, agent: AgentProcess) -> None:
        text = """
import json, os, socket
def test():
    events = socket.socket(fileno=os.dup(int(os.environ['AMD_CI_EVENTS_FD'])))
    bound = {"ok": True, "op": ">=", "limit": 0.8, "source": "a row", "report_only": False}
    for message in (
        {"type": "metric", "metric": "gsm8k", "value": 0.91, "unit": "share", "bound": bound, "seq": 99},
        {"type": "note", "text": "a note"},
        {"type": "progress", "text": "launching", "done": 1, "total": 2},
        {"type": "weather", "sky": "blue"},
    ):
        events.send(json.dumps(message).encode())
    events.send(b"not json")
    events.close()
"""
        agent.run(a_suite([agent.write("test_a.py", text)]))
        (metric,) = agent.of("metric")
        assert (metric["metric"], metric["value"], metric["unit"]) == ("gsm8k", 0.91, "share")
        assert metric["bound"]["limit"] == 0.8
        assert metric["seq"] != 99
        assert agent.of("note")[0]["text"] == "a note"
        assert '"weather"' in agent.of("note")[1]["text"]
        assert agent.of("note")[2]["text"] == "not json"
        assert any((e["text"], e["done"], e["total"]) == ("launching", 1, 2) for e in agent.of("progress"))
        assert agent.ended("test_a.py")["verdict"] == "passed"

    def test_an_oom_kill_in_the_cgroup_is_distinguished_from_another_kill(self, agent: AgentProcess) -> None:
        own = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line]
        group = Path("/sys/fs/cgroup/memory", *(line.split(":")[2].lstrip("/") for line in own), agent.token)
        try:
            group.mkdir()
        except OSError as error:
            pytest.skip(f"needs root and cgroup v1 with a memory controller: {error}")
        try:
            (group / "memory.limit_in_bytes").write_text(str(96 << 20))
            hog = "def test():\n    hog = []\n    while True: hog.append(bytearray(b'x' * (8 << 20)))\n"
            agent.start(a_suite([agent.write("test_a.py", "import time\ntime.sleep(1)\n" + hog)]))
            (group / "cgroup.procs").write_text(str(agent.process.pid))
            for _ in wait_for("the test process"):
                if agent.of("test-started"):
                    break
            (group / "cgroup.procs").write_text(str(agent.of("test-started")[0]["pid"]))
            agent.wait()
        finally:
            agent.process.kill()
            agent.process.wait()
            for _ in wait_for("an empty cgroup"):
                if not (group / "cgroup.procs").read_text():
                    break
            group.rmdir()
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["signal"]) == ("oom", "SIGKILL")
        assert "OOM kills" in " ".join(ended["evidence"])
