"""The agent's file as a program: its command line, its stop, and its second mode, which becomes the test."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agent_process import QUICK, AgentProcess, a_suite, wait_for

pytestmark = [pytest.mark.in_container, pytest.mark.processes]

SLOW = "import time\nopen('started', 'w').close()\ntime.sleep(60)\n"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path) as process:
        yield process


def script(agent: AgentProcess, text: str) -> dict[str, object]:
    return {**agent.write("run_a.py", text), "kind": "script"}


@pytest.mark.parametrize("arguments", [[], ["one.json", "two.json"]])
def test_other_than_one_argument_is_exit_2_with_the_usage(agent: AgentProcess, arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, agent.program, *arguments], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "agent: usage: agent.pyz [--try-options] SPEC.json\n"


def test_a_spec_that_is_missing_is_exit_2(agent: AgentProcess) -> None:
    missing = agent.run_dir / "none.json"
    ended = subprocess.run(
        [sys.executable, agent.program, missing], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert f"invalid spec {missing}: " in ended.stderr
    assert "No such file" in ended.stderr


def test_standard_output_is_for_events_alone(agent: AgentProcess) -> None:
    agent.run(a_suite([script(agent, "print('output of the test')\n")]))
    assert agent.process.returncode == 0
    assert [event["seq"] for event in agent.events] == list(range(1, len(agent.events) + 1))
    assert agent.log("run_a.py") == "output of the test\n"
    assert agent.errors() == ""


def test_the_end_of_standard_input_is_a_stop(agent: AgentProcess) -> None:
    agent.start(a_suite([script(agent, SLOW)]), limits=QUICK)
    for _ in wait_for("the test"):
        if (agent.root / "started").exists():
            break
    agent.close_stdin()
    agent.wait()
    assert agent.ended("run_a.py")["evidence"] == ["interrupted"]
    assert agent.of("agent-ended")[0]["reason"] == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_stop(agent: AgentProcess, number: signal.Signals) -> None:
    agent.start(a_suite([script(agent, SLOW)]), limits=QUICK)
    for _ in wait_for("the test"):
        if (agent.root / "started").exists():
            break
    agent.process.send_signal(number)
    agent.wait()
    assert agent.process.returncode == 0
    assert agent.ended("run_a.py")["evidence"] == [f"interrupted by {number.name}"]


def test_a_pytest_file_reports_its_cases_and_that_pytest_finished(agent: AgentProcess) -> None:
    text = (
        "import sys\ndef test_a():\n    assert not [entry for entry in sys.path if entry.endswith('.pyz')]\n"
    )
    agent.run(a_suite([agent.write("t/test_a.py", text)]))
    assert agent.cases("t/test_a.py")["test_a"]["outcome"] == "passed"
    assert agent.ended("t/test_a.py")["verdict"] == "passed"


def test_an_interpreter_without_pytest_is_infra_with_the_next_command(agent: AgentProcess) -> None:
    (agent.root / "pytest.py").write_text("raise ImportError('not here')\n")
    agent.run(a_suite([agent.write("test_a.py", "def test_a(): pass\n")]), pythonpath=[str(agent.root)])
    ended = agent.ended("test_a.py")
    assert ended["verdict"] == "infra"
    assert "-m pip install pytest" in ended["evidence"][0]


@pytest.mark.parametrize("kind", ["script", "pytest"])
def test_ignored_and_blocked_signals_of_the_caller_do_not_reach_the_test(
    agent: AgentProcess, kind: str
) -> None:
    text = """
import signal
def test():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
if __name__ == "__main__": test()
"""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGHUP)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        agent.start(a_suite([{**agent.write("test_a.py", text), "kind": kind}]))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
    agent.wait()
    assert agent.ended("test_a.py")["verdict"] == "passed"
