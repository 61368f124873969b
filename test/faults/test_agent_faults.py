"""What the agent does when tests hang, crash, fork, flood, or take the ground away under it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agent_process import AgentProcess, a_suite, a_test, catalog_limits, is_alive, wait_for

# Short graces for what does not measure the real ones.
QUICK = {"int_grace_s": 0.4, "term_grace_s": 0.4, "stop_int_grace_s": 0.4, "stop_term_grace_s": 0.4}

# A process in a session of its own that takes no notice of SIGINT and SIGTERM; it writes its pid to a file.
STUBBORN = """
import os, signal, subprocess, sys, time
CODE = '''
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(90)
'''
def stubborn(name, **how):
    child = subprocess.Popen([sys.executable, "-c", CODE, name], start_new_session=True, **how)
    while not os.path.exists(name):
        time.sleep(0.01)
    return child
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path) as process:
        yield process
        assert process.alive() == [], "processes of the run are left"


def pid_in(agent: AgentProcess, name: str) -> int:
    for _ in wait_for(f"the file {name}"):
        if (agent.root / name).exists():
            break
    return int((agent.root / name).read_text())


class TestDeadlines:
    def test_a_hang_ends_at_the_files_time_limit_and_shows_where(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_hangs():\n    while True:\n        try: time.sleep(60)\n"
        text += "        except KeyboardInterrupt: pass\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": 1.5}]), limits=QUICK)
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"]) == ("failed", "timeout")
        assert "no end within 1.5 s, the file's time limit" in ended["evidence"][0]
        assert "running: test_a.py::test_hangs" in ended["evidence"][0]
        assert ended["duration_s"] < 4
        assert 'test_a.py", line 4 in test_hangs' in agent.log("test_a.py")
        assert agent.of("agent-ended")[0]["reason"] == "done"

    def test_a_hang_after_passed_cases_is_a_timeout_while_passing(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": 2}]))
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "timeout-while-passing"
        assert ended["cases"] == {"passed": 1}  # the interrupt that we caused is not a failure of the case
        assert any("while it was being ended" in note["text"] for note in agent.of("note"))

    def test_a_hang_after_a_failed_case_is_a_plain_timeout(self, agent: AgentProcess) -> None:
        text = "import time\ndef test_a(): assert 0\ndef test_b(): time.sleep(60)\n"
        agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": 1.5}]), limits=QUICK)
        assert agent.ended("test_a.py")["verdict"] == "timeout"

    def test_the_suites_time_limit_ends_the_running_test_and_skips_the_rest(
        self, agent: AgentProcess
    ) -> None:
        tests = [agent.write(f"test_{name}.py", "import time\ndef test(): time.sleep(60)\n") for name in "ab"]
        agent.run(a_suite(tests, timeout_s=1.5), limits=QUICK)
        assert "suite's time limit of 1.5 s" in agent.ended("test_a.py")["evidence"][0]
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
        assert not is_alive(pid_in(agent, "pid"))

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
        assert not is_alive(pid_in(agent, "pid"))

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

    def test_an_orphan_that_ended_is_no_zombie_for_the_test_that_waits_for_it(
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

    def test_what_a_killed_test_process_started_dies_with_it(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", STUBBORN + "def test(): stubborn('pid'); time.sleep(60)\n")
        agent.start(a_suite([test]), limits=QUICK)
        grandchild = pid_in(agent, "pid")
        os.kill(agent.of("test-started")[0]["pid"], signal.SIGKILL)
        agent.wait()
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["signal"], ended["exit_code"]) == ("unknown", "SIGKILL", None)
        assert not is_alive(grandchild)


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
        assert agent.ended("test_b.py")["verdict"] == "infra"
        assert any("hello" in event["lines"] for event in agent.of("output"))

    def test_a_full_disk_is_infra_and_the_rules_still_see_the_newest_output(
        self, agent: AgentProcess
    ) -> None:
        (agent.run_dir / "logs").mkdir()
        for name in "ab":
            (agent.run_dir / f"logs/test_{name}.py.log").symlink_to("/dev/full")
        plain = agent.write("test_a.py", "def test(): raise RuntimeError('who knows')\n")
        hang = agent.write("test_b.py", "def test(): raise RuntimeError('HW Exception by GPU node-1')\n")
        agent.run(a_suite([plain, hang]))
        assert agent.ended("test_a.py")["verdict"] == "infra"
        assert "No space left on device" in agent.ended("test_a.py")["evidence"][0]
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


class TestCases:
    TEXT = """
import unittest, pytest
class BoundError(AssertionError):
    verdict = "bounds"
def helper(): raise ValueError("deep")
def test_passed(): pass
def test_assert():
    x = 1
    assert x == 2
def test_bound(): raise BoundError("too slow")
def test_cause():
    try: raise BoundError("too slow")
    except BoundError as error: raise RuntimeError("wrapped") from error
def test_helper(): helper()
@pytest.fixture
def broken(): yield; raise OSError("at the end")
def test_teardown(broken): raise BoundError("too slow")
@pytest.mark.xfail(reason="known")
def test_xfailed(): assert 0
@pytest.mark.xfail(reason="known")
def test_xpassed(): pass
@pytest.mark.xfail(strict=True, reason="known")
def test_strict(): pass
class First(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no server")
    def test_one(self): pass
    def test_two(self): pass
class Second(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise RuntimeError("the server is gone")
    def test_sub(self):
        for size in range(3):
            with self.subTest(size=size): self.assertNotEqual(size, 1)
    def test_unhurt(self): pass
@unittest.skip("whole class")
class Third(unittest.TestCase):
    def test_three(self): pass
def test_long(): raise RuntimeError("\\x01" * 300000)
"""

    def test_every_way_to_end_a_case_is_reported(self, agent: AgentProcess) -> None:
        agent.run(a_suite([agent.write("t/test_a.py", self.TEXT)]))
        cases = agent.cases("t/test_a.py")
        seen = {name: (case["outcome"], case["verdict"], case["assertion"]) for name, case in cases.items()}
        assert seen == {
            "test_passed": ("passed", None, False),
            "test_assert": ("failed", None, True),
            "test_bound": ("failed", "bounds", True),
            "test_cause": ("failed", "bounds", False),
            "test_helper": ("failed", None, False),
            "test_teardown": ("failed", None, False),
            "test_xfailed": ("xfailed", None, False),
            "test_xpassed": ("xpassed", None, False),
            "test_strict": ("failed", None, True),
            "First::test_one": ("failed", None, False),
            "First::test_two": ("failed", None, False),
            "Second::test_sub": ("failed", None, True),
            "Second::test_unhurt": ("failed", None, False),
            "Third::test_three": ("skipped", None, False),
            "test_long": ("failed", None, False),
        }
        lines = self.TEXT.splitlines()
        for name, text in (("test_assert", "    assert x == 2"), ("test_helper", "def helper(): raise")):
            assert cases[name]["file"] == "t/test_a.py"
            assert lines[cases[name]["line"] - 1].startswith(text)
        assert cases["test_assert"]["message"] == "assert 1 == 2"
        assert ">       assert x == 2" in cases["test_assert"]["details"]
        assert "too slow" in cases["test_teardown"]["details"]
        assert "at the end" in cases["test_teardown"]["message"]
        assert "[size=1]" in cases["Second::test_sub"]["message"]
        assert cases["Third::test_three"]["message"] == "whole class"
        assert len(json.dumps(cases["test_long"])) < 200_000
        assert agent.ended("t/test_a.py")["cases"] == {
            "passed": 1,
            "failed": 11,
            "xfailed": 1,
            "xpassed": 1,
            "skipped": 1,
        }


class TestEnds:
    @pytest.mark.parametrize(
        ("body", "verdict", "sign", "evidence"),
        [
            (
                "os.kill(os.getpid(), 9)",
                "unknown",
                "SIGKILL",
                "was ended by SIGKILL; running: test_a.py::test_b",
            ),
            ("os.kill(os.getpid(), 11)", "product", "SIGSEGV", "was ended by SIGSEGV"),
            ("os.abort()", "product", "SIGABRT", "was ended by SIGABRT"),
            ("os._exit(0)", "unknown", None, "ended with exit code 0; running: test_a.py::test_b"),
            ("os._exit(5)", "unknown", None, "ended with exit code 5"),
            ("pytest.exit('enough', returncode=0)", "product", None, "enough"),
            ("sys.exit(0)", "product", None, "SystemExit: 0"),
        ],
    )
    def test_no_way_out_in_the_middle_is_a_pass(
        self, agent: AgentProcess, body: str, verdict: str, sign: str | None, evidence: str
    ) -> None:
        text = f"import os, sys, pytest\ndef test_a(): pass\ndef test_b(): {body}\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"], ended["signal"]) == ("failed", verdict, sign)
        assert evidence in ended["evidence"][0]

    def test_a_crash_after_pytest_has_ended_is_no_pass(self, agent: AgentProcess) -> None:
        text = "import atexit, os\natexit.register(os.abort)\ndef test_a(): pass\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert (agent.ended("test_a.py")["verdict"], agent.ended("test_a.py")["signal"]) == (
            "product",
            "SIGABRT",
        )

    @pytest.mark.parametrize(
        ("text", "case", "message"),
        [
            (
                "import nothing_like_it\n",
                "test_a.py",
                "ModuleNotFoundError: No module named 'nothing_like_it'",
            ),
            ("import sys\nsys.exit(0)\n", "test_a.py", "SystemExit: 0"),
            ("def test_a(:\n", "test_a.py", "SyntaxError"),
            (
                "def test_a(no_such_fixture): pass\n",
                "test_a.py::test_a",
                "fixture 'no_such_fixture' not found",
            ),
        ],
    )
    def test_a_file_that_cant_be_collected_is_a_failed_case(
        self, agent: AgentProcess, text: str, case: str, message: str
    ) -> None:
        agent.run(a_suite([agent.write("test_a.py", text)]))
        (event,) = agent.of("case")
        assert (event["case"], event["outcome"]) == (case, "failed")
        assert message in event["message"] + event["details"]
        assert agent.ended("test_a.py")["verdict"] == "product"

    def test_no_cases_at_all_is_a_failure_of_the_product(self, agent: AgentProcess) -> None:
        agent.run(a_suite([agent.write("test_a.py", "x = 1\n")]))
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"], ended["cases"]) == ("failed", "product", {})
        assert ended["evidence"] == ["pytest collected no test cases in test_a.py"]

    def test_what_is_said_at_the_very_end_is_not_lost(self, agent: AgentProcess) -> None:
        text = "import os, pytest\n@pytest.mark.parametrize('n', range(300))\ndef test(n): os.write(1, b'x' * 3000)\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["cases"]) == ("passed", {"passed": 300})
        assert len(agent.of("case")) == 300

    def test_a_test_process_that_cant_be_started_is_infra(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", "def test(): pass\n")
        agent.run(a_suite([test]), root=str(agent.root / "nowhere"))
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["exit_code"], ended["signal"]) == ("infra", None, None)
        assert "could not be started" in ended["evidence"][0]
        assert agent.of("agent-ended")[0]["reason"] == "done"

    def test_a_case_or_a_file_that_is_not_there_fails(self, agent: AgentProcess) -> None:
        unknown = {**agent.write("test_a.py", "def test_a(): pass\n"), "cases": ["test_a.py::test_z"]}
        agent.run(a_suite([unknown, a_test("test_none.py"), a_test("none.py", kind="script")]))
        for test, word in (
            ("test_a.py", "test_z"),
            ("test_none.py", "not found"),
            ("none.py", "No such file"),
        ):
            assert agent.ended(test)["verdict"] == "product"
            assert word in " ".join(agent.ended(test)["evidence"])

    @pytest.mark.parametrize("kind", ["pytest", "script"])
    def test_a_case_that_someone_reports_as_failed_is_never_lost(
        self, agent: AgentProcess, kind: str
    ) -> None:
        say = "import json, os, socket\ndef test_a():\n"
        say += "    events = socket.socket(fileno=os.dup(int(os.environ['AMD_CI_EVENTS_FD'])))\n"
        say += "    events.send(json.dumps({'type': 'case', 'case': 'mine', 'outcome': 'failed'}).encode())\n"
        say += "    events.close()\nif __name__ == '__main__': test_a()\n"
        agent.run(a_suite([{**agent.write("test_a.py", say), "kind": kind}]))
        assert agent.ended("test_a.py")["exit_code"] == 0
        assert agent.ended("test_a.py")["outcome"] == "failed"

    def test_only_skipped_cases_are_skipped_with_their_reasons(self, agent: AgentProcess) -> None:
        one = "import pytest\n@pytest.mark.skip(reason='needs 8 GPUs')\ndef test_a(): pass\n"
        one += "@pytest.mark.skip(reason='needs 8 GPUs')\ndef test_b(): pass\n"
        module = "import pytest\npytest.skip('not on the CPU', allow_module_level=True)\ndef test_a(): pass\n"
        chosen = {**agent.write("test_c.py", module), "cases": ["test_c.py::test_a"]}
        agent.run(a_suite([agent.write("test_a.py", one), agent.write("test_b.py", module), chosen]))
        for test, reason in (
            ("test_a.py", "needs 8 GPUs"),
            ("test_b.py", "not on the CPU"),
            ("test_c.py", "not on the CPU"),
        ):
            ended = agent.ended(test)
            assert (ended["outcome"], ended["verdict"], ended["skip_reasons"]) == (
                "skipped",
                "passed",
                [reason],
            )


class TestStop:
    def test_the_end_of_standard_input_ends_a_stubborn_tree_in_seven_seconds(
        self, agent: AgentProcess
    ) -> None:
        text = STUBBORN + "def test():\n    stubborn('pid')\n    while True:\n        try: time.sleep(60)\n"
        text += "        except KeyboardInterrupt: pass\n"
        tests = [agent.write("test_a.py", text), agent.write("test_b.py", "def test(): pass\n")]
        agent.start(a_suite(tests), a_suite([agent.write("test_c.py", "def test(): pass\n")], id="next"))
        grandchild = pid_in(agent, "pid")
        closed = agent.close_stdin()
        agent.wait()
        assert time.monotonic() - closed < 7
        assert not is_alive(grandchild)
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
        agent.wait(10)
        assert agent.process.returncode == 0
        assert agent.ended("test_a.py")["evidence"] == ["stopped: got SIGINT"]
        assert agent.of("agent-ended")[0]["reason"] == "cancelled"

    def test_a_stop_cuts_the_wait_before_another_attempt(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", "def test(): raise OSError(28, 'No space left on device')\n")
        agent.start(a_suite([test], attempts=2, retry_wait_s=100, retry_on=["infra"]))
        for _ in wait_for("the retry"):
            if agent.of("retry"):
                break
        closed = agent.close_stdin()
        agent.wait(10)
        assert time.monotonic() - closed < 2
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

    def test_ignored_signals_are_not_handed_on(self, agent: AgentProcess) -> None:
        text = "import signal\ndef test():\n    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        text += "    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        text += "    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL\n"
        text += "    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
        ignored = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGHUP)
        }
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            agent.start(a_suite([agent.write("test_a.py", text)]))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            for number, handler in ignored.items():
                signal.signal(number, handler)
        agent.wait()
        assert agent.ended("test_a.py")["verdict"] == "passed"


class TestQueue:
    FLAKY = "import os\ndef test():\n    if not os.path.exists('second'):\n        open('second', 'w')\n"
    FLAKY += "        raise OSError(28, 'No space left on device')\n"

    def test_an_infra_failure_is_tried_again_and_both_attempts_keep_their_logs(
        self, agent: AgentProcess
    ) -> None:
        suite = a_suite(
            [agent.write("t/test_a.py", self.FLAKY)], attempts=2, retry_wait_s=0.3, retry_on=["infra"]
        )
        agent.run(suite)
        first, second = agent.of("test-ended")
        assert (first["verdict"], first["rule"], first["attempt"]) == ("infra", "disk-full", 1)
        assert (second["verdict"], second["attempt"]) == ("passed", 2)
        (retry,) = agent.of("retry")
        assert (retry["attempt"], retry["wait_s"]) == (1, 0.3)
        assert "infra" in retry["because"]
        logs = [event["log"] for event in agent.of("test-started")]
        assert logs == ["logs/t_test_a.py.log", "logs/t_test_a.py.attempt-2.log"]
        assert "No space left" in agent.log("t/test_a.py", 1)
        assert "No space left" not in agent.log("t/test_a.py", 2)

    def test_a_failure_of_the_product_is_not_tried_again(self, agent: AgentProcess) -> None:
        test = agent.write("test_a.py", "def test(): assert 0, 'No space left on device'\n")
        agent.run(a_suite([test], attempts=3, retry_on=["infra", "hardware"]))
        assert [event["verdict"] for event in agent.of("test-ended")] == ["product"]
        assert agent.of("retry") == []

    def test_there_is_no_retry_beyond_the_suites_time_limit(self, agent: AgentProcess) -> None:
        suite = a_suite(
            [agent.write("test_a.py", self.FLAKY)], attempts=2, retry_wait_s=50, retry_on=["infra"]
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

    def test_a_tests_own_environment_lies_over_its_suites(self, agent: AgentProcess) -> None:
        text = (
            "import os\ndef test_env():\n    assert (os.environ['A'], os.environ['B']) == ({!r}, 'suite')\n"
        )
        one = {**agent.write("test_a.py", text.format("own")), "env": {"A": "own"}}
        two = agent.write("test_b.py", text.format("suite"))
        agent.run(a_suite([one, two], env={"A": "suite", "B": "suite"}))
        assert [agent.ended(name)["outcome"] for name in ("test_a.py", "test_b.py")] == ["passed", "passed"]

    def test_a_test_that_does_not_measure_what_a_row_asks_for_has_failed(self, agent: AgentProcess) -> None:
        text = "import json, os, socket\ndef test_measures():\n"
        text += "    channel = socket.socket(fileno=os.dup(int(os.environ['AMD_CI_EVENTS_FD'])))\n"
        text += "    channel.send(json.dumps({'type': 'metric', 'metric': 'a', 'value': 1, 'unit': 's'}).encode())\n"
        text += "    channel.close()\n"
        path = agent.write("test_a.py", text)
        lacking = {**path, "id": "lacking", "metrics": ["a", "b"]}
        agent.run(a_suite([{**path, "id": "whole", "metrics": ["a"]}, lacking]))
        assert agent.ended("whole")["outcome"] == "passed"
        ended = agent.ended("lacking")
        assert (ended["outcome"], ended["verdict"]) == ("failed", "product")
        assert "no metric 'b' was recorded" in ended["evidence"][0]

    def test_without_fail_fast_everything_runs(self, agent: AgentProcess) -> None:
        bad, good = (
            agent.write("test_a.py", "def test(): assert 0\n"),
            agent.write("test_b.py", "def test(): pass\n"),
        )
        agent.run(a_suite([bad, good]))
        assert [event["verdict"] for event in agent.of("test-ended")] == ["product", "passed"]
        assert agent.of("agent-ended")[0]["reason"] == "done"

    def test_two_at_a_time_have_different_gpus_and_their_events_stay_whole(self, agent: AgentProcess) -> None:
        text = "import os, time\ndef test():\n    print('gpus', os.environ['HIP_VISIBLE_DEVICES']); time.sleep(0.7)\n"
        tests = [agent.write(f"test_{name}.py", text) for name in "abcd"]
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


class TestTheTestsWorld:
    def test_the_environment_is_the_agents_the_suites_and_ours(self, agent: AgentProcess) -> None:
        text = "import json, os\ndef test(): open('env.json', 'w').write(json.dumps(dict(os.environ)))\n"
        suite = a_suite(
            [agent.write("test_a.py", text)], env={"SGLANG_USE_AITER": "1", "PYTHONPATH": "/of/the/set"}
        )
        agent.run(suite, pythonpath=["/of/ours"])
        env = json.loads((agent.root / "env.json").read_text())
        passed_on = {key for key in ("PATH", "HOME", "LANG", "LC_CTYPE") if key in os.environ or key in env}
        ours = {f"AMD_CI_{name}" for name in ("TOKEN", "ATTEMPT_TOKEN", "SPEC", "TEST", "SUITE", "EVENTS_FD")}
        ours |= {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "SGLANG_USE_AITER"}
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

    def test_a_script_that_fails_shows_its_last_lines(self, agent: AgentProcess) -> None:
        text = "raise ValueError('a word about the latency score timeout of the bloom headroom')\n"
        agent.run(a_suite([{**agent.write("run_a.py", text), "kind": "script"}]))
        ended = agent.ended("run_a.py")
        assert (ended["verdict"], ended["exit_code"]) == ("product", 1)
        assert ended["evidence"][-1].startswith("ValueError: a word about")

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

    def test_an_oom_kill_in_the_cgroup_is_told_from_another_kill(self, agent: AgentProcess) -> None:
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


class TestSpec:
    def test_a_spec_that_cant_be_used_is_exit_2_with_every_problem(self, agent: AgentProcess) -> None:
        agent.run(a_suite([a_test("../test_a.py")], attempts=0), jobs=0)
        assert agent.process.returncode == 2
        assert agent.events == []
        errors = agent.errors()
        for word in ("jobs is 0", "attempts is 0", "'../test_a.py' is not a path inside the root"):
            assert word in errors

    def test_the_catalog_has_every_limit_that_the_agent_reads(self, agent: AgentProcess) -> None:
        limits = catalog_limits()
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
