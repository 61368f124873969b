"""Tests that hang: where they and their servers were is in the log and in the evidence, and nothing is left."""

import sys
from pathlib import Path

from support.agent_process import QUICK, STUBBORN, AgentProcess, a_suite

# time for pytest to start on a busy machine and come to the case that hangs
STARTED_S = 6

SERVER = """
import sys, threading, time
def schedule():
    time.sleep(600)
def listen():
    while True:
        try: time.sleep(600)
        except KeyboardInterrupt: pass
threading.Thread(target=schedule, daemon=True).start()
open("ready", "w").close()
print("the server is ready", flush=True)
listen()
"""
TEST = """
import os, subprocess, sys, threading, time
def wait_for_an_answer(event):
    event.wait()
def test_hangs():
    server = subprocess.Popen([sys.executable, "server.py"], start_new_session=True{how})
    while not os.path.exists("ready"):
        time.sleep(0.01)
    threading.Thread(target=wait_for_an_answer, args=(threading.Event(),), daemon=True, name="client").start()
    wait_for_an_answer(threading.Event())
"""


def test_the_first_line_is_the_tests_own_and_the_log_has_every_thread_of_test_and_server(
    agent: AgentProcess,
) -> None:
    (agent.root / "server.py").write_text(SERVER)
    test = {**agent.write("t/test_a.py", TEST.format(how="")), "timeout_s": STARTED_S}
    agent.run(a_suite([test]), limits=QUICK)
    ended = agent.ended("t/test_a.py")
    assert ended["verdict"] == "timeout"
    first = ended["evidence"][0]
    assert first.startswith("hangs in wait_for_an_answer (")
    assert "t/test_a.py:4), inside wait (" in first
    assert any("another process: listen (" in line for line in ended["evidence"])
    log = agent.log("t/test_a.py")
    for place in ("in test_hangs", "in wait_for_an_answer", "in schedule", "in listen"):
        assert place in log
    assert "server.py" in log.partition("[agent] process")[2]
    assert ended["duration_s"] < STARTED_S + 8


def test_the_log_of_a_server_is_shown_with_its_stacks(agent: AgentProcess) -> None:
    (agent.root / "server.py").write_text(SERVER)
    path = agent.run_dir / "logs" / "test_a.py.server-1.log"
    how = f', stdout=open({str(path)!r}, "w"), stderr=subprocess.STDOUT'
    test = {**agent.write("test_a.py", TEST.format(how=how)), "timeout_s": STARTED_S}
    agent.run(a_suite([test]), limits=QUICK)
    evidence = agent.ended("test_a.py")["evidence"]
    assert evidence[0].startswith("hangs in wait_for_an_answer (")
    assert any(line.startswith("the server: listen (") for line in evidence)
    _, _, shown = agent.log("test_a.py").partition("[agent] the last lines of test_a.py.server-1.log:")
    assert "the server is ready" in shown
    assert "in schedule" in shown


def test_a_script_that_hangs_says_where(agent: AgentProcess) -> None:
    text = "import time\ndef deep():\n    time.sleep(60)\ndef main():\n    deep()\nmain()\n"
    test = {**agent.write("test_a.py", text), "kind": "script", "timeout_s": 2}
    agent.run(a_suite([test]), limits=QUICK)
    ended = agent.ended("test_a.py")
    assert (ended["verdict"], ended["evidence"][0][:14]) == ("timeout", "hangs in deep ")
    assert "in main" in agent.log("test_a.py")


def test_a_process_that_is_no_python_is_shown_as_the_kernel_shows_it(agent: AgentProcess) -> None:
    text = "import subprocess\ndef test_a(): subprocess.run(['sleep', '60'])\n"
    agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": STARTED_S}]), limits=QUICK)
    _, _, shown = agent.log("test_a.py").partition(", sleep 60\n")
    assert shown.lstrip().startswith("thread ")
    assert "waits in" in shown.splitlines()[0]


def test_a_child_that_ignores_every_signal_costs_no_more_than_the_graces(agent: AgentProcess) -> None:
    text = f"{STUBBORN}\ndef test_a():\n    stubborn('pid')\n    time.sleep(60)\n"
    agent.run(a_suite([{**agent.write("test_a.py", text), "timeout_s": STARTED_S}]), limits=QUICK)
    ended = agent.ended("test_a.py")
    assert ended["verdict"] == "timeout"
    assert ended["duration_s"] < STARTED_S + 8


def test_with_gpus_nothing_is_aborted_and_a_server_may_release_them(agent: AgentProcess) -> None:
    """The GPU is only an id; the server writes a file when it is asked to end."""
    server = SERVER.replace(
        "except KeyboardInterrupt: pass", "except KeyboardInterrupt: open('released', 'w'); return"
    )
    (agent.root / "server.py").write_text(server)
    test = {**agent.write("test_a.py", TEST.format(how="")), "timeout_s": STARTED_S}
    agent.run(a_suite([test], gpus=1), gpu_ids=["0"])
    assert (agent.root / "released").exists()
    assert agent.ended("test_a.py")["evidence"][0].startswith("hangs in wait_for_an_answer (")


def test_py_spy_is_asked_where_the_engine_has_it(agent: AgentProcess, tmp_path: Path) -> None:
    """A double that prints what py-spy 0.4.3 prints; the agent finds it on its PATH."""
    spy = tmp_path / "bin" / "py-spy"
    spy.parent.mkdir()
    spy.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "assert sys.argv[1:-1] == ['dump', '--nonblocking', '--full-filenames', '--pid']\n"
        "print('Process', sys.argv[-1] + ': python server.py\\nPython v3.12.3 (/usr/bin/python3)\\n')\n"
        "print('Thread 7 (idle): \"MainThread\"\\n    event_loop (/opt/sglang/srt/managers/scheduler.py:1234)')\n"
    )
    spy.chmod(0o755)
    (agent.root / "server.py").write_text(SERVER)
    test = {**agent.write("test_a.py", TEST.format(how="")), "timeout_s": STARTED_S}
    agent.path = f"{spy.parent}"
    agent.run(a_suite([test], gpus=1), gpu_ids=["0"], limits=QUICK)
    (line,) = [line for line in agent.ended("test_a.py")["evidence"] if "event_loop" in line]
    assert line.endswith("server.py): event_loop (sglang/srt/managers/scheduler.py:1234)")


class TestCrashes:
    def test_a_segfault_shows_the_tests_innermost_frame(self, agent: AgentProcess) -> None:
        text = "import ctypes\ndef crash():\n    ctypes.string_at(0)\ndef test_a():\n    crash()\n"
        tests = [
            {**agent.write("test_a.py", text)},
            {**agent.write("test_b.py", f"{text}test_a()\n"), "kind": "script"},
        ]
        agent.run(a_suite(tests))
        for name in ("test_a.py", "test_b.py"):
            assert agent.ended(name)["signal"] == "SIGSEGV"
            _, _, dump = agent.log(name).partition("Fatal Python error: Segmentation fault")
            frames = [line for line in dump.splitlines() if line.startswith("  File ")]
            own = next(line for line in frames if name in line)
            assert own.endswith("line 3 in crash")
        assert not list(agent.root.glob("core*"))
