"""Several tests at a time: nothing of any of them is left, however the run ends."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from ci.execute.process_sweep import sweep
from support.agent_process import QUICK, STUBBORN, AgentProcess, a_suite, is_alive, pid_in, wait_for

OWN = {"alone": [], "variables": [{"name": "TMPDIR", "kind": "folder-of-test"}]}
SLOTS = 3
# a process in a session of its own that ignores signals, shared memory, a socket's file in the test's own folder
PROGRAM = (
    STUBBORN
    + """
open(os.path.join(os.environ["TMPDIR"], "file"), "w").close()
stubborn("NAME")
time.sleep(90)
"""
)


@pytest.mark.parametrize("how", ["end of input", "SIGINT", "SIGTERM", "SIGKILL"])
def test_nothing_is_left_of_several_tests_however_the_run_ends(agent: AgentProcess, how: str) -> None:
    names = [f"{number}.pid" for number in range(SLOTS)]
    tests = [agent.write(f"test_{name[0]}.py", PROGRAM.replace("NAME", name)) for name in names]
    tests.append(agent.write("test_later.py", ""))
    # scripts, which start faster than pytest
    agent.start(
        a_suite([{**test, "kind": "script"} for test in tests]), jobs=SLOTS, limits=QUICK, sharing=OWN
    )
    pids = [pid_in(agent, name) for name in names]
    folder = Path(tempfile.gettempdir()) / agent.token
    assert len(list(folder.glob("*/test/tmpdir/file"))) == SLOTS
    if how == "end of input":
        agent.close_stdin()
    else:
        os.kill(agent.process.pid, signal.Signals[how])
    agent.wait(30)
    if how == "SIGKILL":
        # what `ci` does when the agent was killed, and the next start when `ci` was killed too
        sweep(agent.token, wait=time.sleep)
    for _ in wait_for("the end of all processes"):
        if not any(is_alive(pid) for pid in pids) and not agent.alive():
            break
    assert not folder.exists()
    if how != "SIGKILL":
        assert [event["verdict"] for event in agent.of("test-ended")] == ["cancelled"] * SLOTS
        assert [event["test"] for event in agent.of("test-not-run")] == ["test_later.py"]
        assert agent.of("agent-ended")[0]["reason"] == "cancelled"
