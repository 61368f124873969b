"""How the agent ends what hangs, what stays behind and itself."""

import os
import signal
import time

import pytest

from support.agent_process import (
    QUICK,
    STUBBORN,
    AgentProcess,
    a_suite,
    is_alive,
    pid_in,
    retry,
    wait_for,
    was_killed,
)

# time for pytest to start on a busy machine and come to the case that hangs
STARTED_S = 6


class TestDeadlines:
    def test_a_hang_ends_at_the_files_time_limit_and_shows_where(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_hangs():\n    while True:\n        try: time.sleep(60)\n"
        text += "        except KeyboardInterrupt: pass\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": STARTED_S}]), limits=QUICK)
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"]) == ("failed", "timeout")
        where, limit = ended["evidence"][:2]
        assert where.startswith("hangs in test_hangs (")
        assert "test_a.py:4)" in where
        assert "no end within 6 s, the file's time limit" in limit
        assert "running: test_a.py::test_hangs" in limit
        assert ended["duration_s"] < STARTED_S + 4
        assert 'test_a.py", line 4 in test_hangs' in agent.log("test_a.py")
        assert agent.of("agent-ended")[0]["reason"] == "done"

    def test_a_hang_after_passed_cases_is_a_timeout_while_passing(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": STARTED_S}]))
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "timeout-while-passing"
        assert ended["cases"] == {"passed": 1}  # the interrupt that we caused is not a failure of the case
        assert any("while it was being ended" in note["text"] for note in agent.of("note"))

    def test_a_hang_after_a_failed_case_is_a_plain_timeout(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_a(): assert 0\ndef test_b(): time.sleep(60)\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": STARTED_S}]), limits=QUICK)
        assert agent.ended("test_a.py")["verdict"] == "timeout"

    def test_the_suites_time_limit_ends_the_running_test_and_skips_the_rest(
        self, agent: AgentProcess
    ) -> None:
        tests = [agent.write(f"test_{name}.py", "import time\ndef test(): time.sleep(60)\n") for name in "ab"]
        agent.run(a_suite(tests, timeout_s=1.5), limits=QUICK)
        assert any("suite's time limit of 1.5 s" in line for line in agent.ended("test_a.py")["evidence"])
        (skipped,) = agent.of("test-not-run")
        assert (skipped["test"], skipped["verdict"]) == ("test_b.py", "timeout")


class TestWhatATestLeavesBehind:
    def test_a_stubborn_process_in_its_own_session_is_named_and_killed(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", STUBBORN + "def test_leaves(): stubborn('pid')\n")
        agent.run(a_suite([test]), limits=QUICK)
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "passed"
        assert [leftover["pid"] for leftover in ended["leftovers"]] == [pid_in(agent, "pid")]
        assert "-c" in ended["leftovers"][0]["command"]
        assert was_killed(agent, "pid")

    def test_a_daemon_with_an_empty_environment_and_no_pipe_is_found(self, agent: AgentProcess) -> None:
        nowhere = "stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
        daemon = f"stubborn('pid', env={{}}, {nowhere})"
        text = (
            f"{STUBBORN}def test_leaves():\n    child = os.fork()\n    if child == 0:\n        os.setsid()\n"
        )
        text += f"        {daemon}\n        os._exit(0)\n    os.waitpid(child, 0)\n"
        agent.run(a_suite([agent.write("test_a.py", text)]), limits=QUICK)
        assert [leftover["pid"] for leftover in agent.ended("test_a.py")["leftovers"]] == [
            pid_in(agent, "pid")
        ]
        assert was_killed(agent, "pid")

    def test_beside_another_attempt_a_lost_daemon_is_left_to_the_last_sweep(
        self, agent: AgentProcess
    ) -> None:
        nowhere = "stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
        text = (
            f"{STUBBORN}def test_leaves():\n    child = os.fork()\n    if child == 0:\n        os.setsid()\n"
        )
        text += (
            f"        stubborn('pid', env={{}}, {nowhere})\n        os._exit(0)\n    os.waitpid(child, 0)\n"
        )
        slow = agent.write("test_b.py", "import time\ndef test(): time.sleep(2)\n")
        agent.run(a_suite([agent.write("test_a.py", text), slow]), jobs=2, limits=QUICK)
        assert agent.ended("test_a.py")["leftovers"] == agent.ended("test_b.py")["leftovers"] == []
        assert [leftover["pid"] for leftover in agent.of("agent-ended")[0]["leftovers"]] == [
            pid_in(agent, "pid")
        ]

    def test_an_orphan_that_ended_is_not_a_zombie_for_the_test_that_waits_for_it(
        self, agent: AgentProcess
    ) -> None:
        text = """
import os, time
def test_waits():
    r, w = os.pipe()
    if os.fork() == 0:
        orphan = os.fork()
        if orphan == 0:
            time.sleep(0.2)
        else:
            os.write(w, str(orphan).encode())
        os._exit(0)
    orphan = int(os.read(r, 20))
    until = time.monotonic() + 3
    while time.monotonic() < until:
        try: os.kill(orphan, 0)
        except ProcessLookupError: return
        time.sleep(0.05)
    assert 0, "still there"
"""
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert agent.ended("test_a.py")["verdict"] == "passed"

    def test_what_a_killed_test_process_started_ends_with_it(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", STUBBORN + "def test(): stubborn('pid'); time.sleep(60)\n")
        agent.start(a_suite([test]), limits=QUICK)
        pid_in(agent, "pid")
        os.kill(agent.of("test-started")[0]["pid"], signal.SIGKILL)
        agent.wait()
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["signal"], ended["exit_code"]) == ("unknown", "SIGKILL", None)
        assert was_killed(agent, "pid")


class TestStop:
    def test_the_end_of_standard_input_ends_a_stubborn_tree_in_seven_seconds(
        self, agent: AgentProcess
    ) -> None:
        text = STUBBORN + "def test():\n    stubborn('pid')\n    while True:\n        try: time.sleep(60)\n"
        text += "        except KeyboardInterrupt: pass\n"
        tests = [agent.write("test_a.py", text), agent.write("test_b.py", "def test(): pass\n")]
        agent.start(a_suite(tests), a_suite([agent.write("test_c.py", "def test(): pass\n")], id="next"))
        pid_in(agent, "pid")
        closed = agent.close_stdin()
        agent.wait()
        assert time.monotonic() - closed < 7
        assert was_killed(agent, "pid")
        assert agent.process.returncode == 0
        assert agent.events[-1]["type"] == "agent-ended"
        assert agent.events[-1]["reason"] == "cancelled"
        assert agent.ended("test_a.py")["verdict"] == "cancelled"
        assert [(e["test"], e["verdict"]) for e in agent.of("test-not-run")] == [
            ("test_b.py", "cancelled"),
            ("test_c.py", "cancelled"),
        ]

    def test_repeated_signals_are_one_stop(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", STUBBORN + "def test(): stubborn('pid'); time.sleep(60)\n")
        agent.start(a_suite([test]), limits=QUICK)
        pid_in(agent, "pid")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            agent.process.send_signal(number)
            time.sleep(0.05)
        agent.wait()
        assert was_killed(agent, "pid")
        assert agent.process.returncode == 0
        assert agent.ended("test_a.py")["evidence"] == ["interrupted by SIGINT; running: test_a.py::test"]
        assert agent.of("agent-ended")[0]["reason"] == "cancelled"

    def test_a_stop_cuts_the_wait_before_another_attempt(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", "def test(): raise OSError(28, 'No space left on device')\n")
        agent.start(
            a_suite([test], attempts=2, retry_wait_s=1000, timeout_s=2000, retries=[retry("infra", 2)])
        )
        for _ in wait_for("the retry"):
            if agent.of("retry"):
                break
        agent.close_stdin()
        agent.wait(60)
        (note,) = agent.of("note")
        assert note["text"] == "no further attempt: interrupted"
        assert [e["verdict"] for e in agent.of("test-ended")] == ["infra"]
        assert agent.of("agent-ended")[0]["reason"] == "cancelled"

    @pytest.mark.parametrize("kind", ["pytest", "script"])
    def test_a_killed_agent_takes_its_test_process_with_it(self, agent: AgentProcess, kind: str) -> None:
        text = "import os, time\ndef test():\n    open('pid', 'w').write(str(os.getpid())); time.sleep(60)\n"
        text += "if __name__ == '__main__': test()\n"
        agent.start(a_suite([{**agent.write("test_a.py", text), "kind": kind}]))
        for _ in wait_for("the pid"):
            if (agent.root / "pid").exists() and (agent.root / "pid").read_text():
                break
        child = pid_in(agent, "pid")
        agent.process.kill()
        agent.wait()
        for _ in wait_for("the death of the test process", seconds=2):
            if not is_alive(child):
                break
        assert agent.of("agent-ended") == []
