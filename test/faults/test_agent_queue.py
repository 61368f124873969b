"""Attempts, retries, fail-fast, and an invalid spec."""

import json
import subprocess
import sys

from support.agent_process import (
    AgentProcess,
    a_suite,
    a_test,
    agent_limits,
    retry,
)


class TestQueue:
    FLAKY = "import os\ndef test():\n    if not os.path.exists('second'):\n        open('second', 'w')\n"
    FLAKY += "        raise OSError(28, 'No space left on device')\n"

    def test_an_infra_failure_is_tried_again_and_both_attempts_keep_their_logs(
        self, agent: AgentProcess
    ) -> None:
        suite = a_suite(
            [agent.write("t/test_a.py", self.FLAKY)],
            attempts=2,
            retry_wait_s=0.3,
            retries=[retry("infra", 2)],
        )
        agent.run(suite)
        first, second = agent.of("test-ended")
        assert (first["verdict"], first["rule"], first["attempt"]) == ("infra", "disk-full", 1)
        assert (second["verdict"], second["attempt"]) == ("passed", 2)
        (again,) = agent.of("retry")
        assert (again["attempt"], again["wait_s"]) == (1, 0.3)
        assert "infra" in again["because"]
        logs = [event["log"] for event in agent.of("test-started")]
        assert logs == ["logs/t_test_a.py.log", "logs/t_test_a.py.attempt-2.log"]
        assert "No space left" in agent.log("t/test_a.py", 1)
        assert "No space left" not in agent.log("t/test_a.py", 2)

    def test_a_failure_of_the_product_is_not_tried_again(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", "def test(): assert 0, 'No space left on device'\n")
        agent.run(a_suite([test], attempts=3, retries=[retry("infra", 3), retry("hardware", 3)]))
        assert [event["verdict"] for event in agent.of("test-ended")] == ["product"]
        assert agent.of("retry") == []

    def test_no_retry_beyond_the_suites_time_limit(self, agent: AgentProcess) -> None:
        suite = a_suite(
            [agent.write("test_a.py", self.FLAKY)], attempts=2, retry_wait_s=50, retries=[retry("infra", 2)]
        )
        agent.run({**suite, "timeout_s": 30})
        assert len(agent.of("test-ended")) == 1
        assert agent.of("retry") == []
        assert "no time for another attempt" in agent.of("note")[0]["text"]

    def test_fail_fast_names_the_test_that_failed(self, agent: AgentProcess) -> None:
        bad, good = (
            agent.write("test_a.py", "def test(): assert 0\n"),
            agent.write("test_b.py", "def test(): pass\n"),
        )
        agent.run(a_suite([bad, good]), a_suite([{**good, "id": "later"}], id="next"), fail_fast=True)
        skipped = agent.of("test-not-run")
        assert [(event["suite"], event["test"]) for event in skipped] == [
            ("suite", "test_b.py"),
            ("next", "later"),
        ]
        assert all("test_a.py" in event["because"] and event["verdict"] == "cancelled" for event in skipped)
        assert agent.of("agent-ended")[0]["reason"] == "fail-fast"

    def test_a_quarantined_failure_does_not_stop_a_run_that_fails_fast(self, agent: AgentProcess) -> None:
        text = (
            "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_jitters(n):\n    assert n == 1\n"
        )
        held = {**agent.write("test_a.py", text), "quarantine": ["test_a.py::test_jitters"]}
        bad = agent.write("test_b.py", "def test_bad():\n    assert 0\n")
        later = agent.write("test_c.py", "def test_good():\n    pass\n")
        agent.run(a_suite([held, bad, later]), fail_fast=True)
        assert agent.ended("test_a.py")["outcome"] == "failed", "the verdict is what it is"
        assert agent.ended("test_b.py")["outcome"] == "failed"
        (event,) = [event for event in agent.events if event["type"] == "test-not-run"]
        assert "test_b.py of suite suite failed" in event["because"]

    def test_a_tests_own_environment_overrides_its_suites(self, agent: AgentProcess) -> None:
        text = (
            "import os\ndef test_env():\n    assert (os.environ['A'], os.environ['B']) == ({!r}, 'suite')\n"
        )
        one = {**agent.write("test_a.py", text.format("own")), "env": {"A": "own"}}
        two = agent.write("test_b.py", text.format("suite"))
        agent.run(a_suite([one, two], env={"A": "suite", "B": "suite"}))
        assert [agent.ended(name)["outcome"] for name in ("test_a.py", "test_b.py")] == ["passed", "passed"]

    def test_without_fail_fast_everything_runs(self, agent: AgentProcess) -> None:
        bad, good = (
            agent.write("test_a.py", "def test(): assert 0\n"),
            agent.write("test_b.py", "def test(): pass\n"),
        )
        agent.run(a_suite([bad, good]))
        assert [event["verdict"] for event in agent.of("test-ended")] == ["product", "passed"]
        assert agent.of("agent-ended")[0]["reason"] == "done"

    def test_two_at_a_time_have_different_gpus_and_their_events_stay_whole(self, agent: AgentProcess) -> None:
        # a and b meet, then c and d: of each pair both run at once
        text = "import os, time\ndef test():\n    print('gpus', os.environ['HIP_VISIBLE_DEVICES'])\n"
        text += "    open({!r}, 'w').close()\n    while not os.path.exists({!r}):\n        time.sleep(0.01)\n"
        pairs = zip("abcd", "badc", strict=True)
        tests = [agent.write(f"test_{name}.py", text.format(name, other)) for name, other in pairs]
        agent.run(a_suite(tests, gpus=2), jobs=4, gpu_ids=["4", "5", "6", "7"])
        started = {event["test"]: event["gpu_ids"] for event in agent.of("test-started")}
        assert sorted(map(tuple, started.values())) == [("4", "5"), ("4", "5"), ("6", "7"), ("6", "7")]
        for test, gpus in started.items():
            assert f"gpus {','.join(gpus)}" in agent.log(test)
        running, most = 0, 0
        for event in agent.events:
            running += {"test-started": 1, "test-ended": -1}.get(event["type"], 0)
            most = max(most, running)
        assert most == 2
        assert [event["seq"] for event in agent.events] == list(range(1, len(agent.events) + 1))
        for test in started:
            kinds = [event["type"] for event in agent.events if event.get("test") == test]
            assert (kinds[0], kinds[-1]) == ("test-started", "test-ended")


# What the HSA runtime and the driver print where a GPU stops, by a test that does so on the GPUs of `BAD`.
DEVICE_RULES = [
    {
        "id": "gpu-memory-fault",
        "verdict": "device",
        "about": ["device", "exception"],
        "only_if": "",
        "pattern": "Memory access fault by GPU node",
        "why": "the GPU stopped",
    }
]
FAULTS = """
import os
def test_a():
    if os.environ.get("HIP_VISIBLE_DEVICES") in {bad!r}:
        print("Memory access fault by GPU node-2 (Agent handle: 0x5581c0) on address 0x7f2c00000000.", flush=True)
        print("Reason: Page not present or supervisor privilege.", flush=True)
        os.abort()
"""
DEVICE_RETRIES = (retry("device", 2, "other-if-any"), retry("hardware", 2, "other"))


class TestDeviceAborts:
    """GPUs are only ids here, and tests print what ROCm prints."""

    def ended(
        self, agent: AgentProcess, bad: "dict[str, list[str | None]]", ids: "list[str]"
    ) -> "list[tuple[str, int, list[str], str]]":
        tests = [agent.write(name, FAULTS.format(bad=where)) for name, where in bad.items()]
        suite = a_suite(tests, gpus=1 if ids else 0, retries=DEVICE_RETRIES)
        agent.run(suite, gpu_ids=ids, verdict_rules=DEVICE_RULES)
        gpus = {(event["test"], event["attempt"]): event["gpu_ids"] for event in agent.of("test-started")}
        return [
            (event["test"], event["attempt"], gpus[event["test"], event["attempt"]], event["verdict"])
            for event in agent.of("test-ended")
        ]

    def test_the_same_on_another_gpu_is_the_products(self, agent: AgentProcess) -> None:
        found = self.ended(agent, {"test_a.py": ["0", "1"]}, ["0", "1"])
        assert found == [("test_a.py", 1, ["0"], "device"), ("test_a.py", 2, ["1"], "product")]
        evidence = agent.ended("test_a.py", 2)["evidence"]
        assert "Memory access fault by GPU node-2" in evidence[0]
        assert evidence[1] == "the same test stopped GPU 0 and then GPU 1: what they share is the code"

    def test_the_same_on_the_only_gpu_stays_undecided_and_is_not_tried_a_third_time(
        self, agent: AgentProcess
    ) -> None:
        found = self.ended(agent, {"test_a.py": ["0"]}, ["0"])
        assert found == [("test_a.py", 1, ["0"], "device"), ("test_a.py", 2, ["0"], "device")]
        assert "stays undecided" in agent.ended("test_a.py", 2)["evidence"][1]

    def test_without_a_gpu_too(self, agent: AgentProcess) -> None:
        found = self.ended(agent, {"test_a.py": [None]}, [])
        assert [verdict for *_, verdict in found] == ["device", "device"]

    def test_a_server_that_the_device_ended_is_no_fault_of_the_product(self, agent: AgentProcess) -> None:
        """Python's faulthandler shows the abort of a server too."""
        text = "import subprocess, sys\n"
        text += "CODE = \"import os\\nprint('Memory access fault by GPU node-2 (Agent handle: 0x55) on address 0x7f.', flush=True)\\nos.abort()\"\n"
        text += "def test_a():\n    code = subprocess.run([sys.executable, '-c', CODE]).returncode\n"
        text += (
            "    raise Exception(f'Server process exited with code {code}. Check server logs for errors.')\n"
        )
        agent.run(a_suite([agent.write("test_a.py", text)]), verdict_rules=DEVICE_RULES)
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["rule"]) == ("device", "gpu-memory-fault")
        assert "Memory access fault" in ended["evidence"][0]

    def test_two_tests_that_stop_one_gpu_and_pass_on_another_prove_a_fault_of_the_first(
        self, agent: AgentProcess
    ) -> None:
        found = self.ended(agent, {"test_a.py": ["0"], "test_b.py": ["0"], "test_c.py": []}, ["0", "1"])
        assert found == [
            ("test_a.py", 1, ["0"], "device"),
            ("test_a.py", 2, ["1"], "passed"),
            ("test_b.py", 1, ["0"], "hardware"),
            ("test_b.py", 2, ["1"], "passed"),
            ("test_c.py", 1, ["0"], "passed"),
        ]
        line = "test_a.py stopped GPU 0 too, and passed on GPU 1: two tests stopped this GPU and no other"
        assert agent.ended("test_b.py")["evidence"][1] == line


class TestSpec:
    def test_a_spec_that_cant_be_used_is_exit_2_with_every_problem(self, agent: AgentProcess) -> None:
        agent.run(a_suite([a_test("../test_a.py")], attempts=0), jobs=0)
        assert agent.process.returncode == 2
        assert agent.events == []
        errors = agent.errors()
        for word in ("jobs is 0", "attempts is 0", "'../test_a.py' is not a path inside the root"):
            assert word in errors

    def test_the_catalog_has_every_limit_that_the_agent_reads(self, agent: AgentProcess) -> None:
        limits = agent_limits()
        limits.pop("int_grace_s")
        spec = agent.spec()
        path = agent.run_dir / "spec.json"
        path.write_text(json.dumps({**spec, "limits": limits}))
        done = subprocess.run(
            [sys.executable, str(agent.program), str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "limits.int_grace_s is missing" in done.stderr
