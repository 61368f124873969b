"""The symptom of a real failure: the same in another run with other numbers, and out of the log alone."""

import re

import pytest

from ci.agent.judge import Facts, Rule
from ci.agent.judge.judge import judge_log
from ci.agent.spec import decode
from support.agent_process import AgentProcess, a_suite, verdict_rules, verdicts

# Two runs differ in the number {n}, in addresses, ports, times and paths.
FAILURES = {
    "assertion": (
        "def test_x():\n    score = {n} / 1000\n    assert score >= 0.9, f'score {score} is below 0.9'\n",
        r"AssertionError: score # is below # @ test_\w+\.py:test_x",
    ),
    "helper": (
        "import tempfile\ndef load(path): raise OSError(f'cannot read {path}: {n} bytes')\ndef test_x(): load(tempfile.mkdtemp())\n",
        r"OSError: cannot read PATH: # @ test_\w+\.py:load",
    ),
    "cause": (
        "def test_x():\n    try: [][{n}]\n    except IndexError as error: raise RuntimeError(f'object at {hex({n})}') from error\n",
        r"RuntimeError: object at # @ test_\w+\.py:test_x",
    ),
    "import": ("import no_such_module_{n}x\n", r"ModuleNotFoundError: No module named 'no_such_module_#?.*"),
    "rank": (
        "import threading\ndef test_x():\n    raise RuntimeError('rank {n}: ranks [{n}, 2, 1] did not answer on port {n}')\n",
        r"RuntimeError: ranks \[#\] did not answer on port # @ test_\w+\.py:test_x",
    ),
    "signal": ("import os, signal\ndef test_x(): os.kill(os.getpid(), signal.SIGSEGV)\n", r".*(?:Segmentation fault|SIGSEGV).*"),
    "exit": ("import os\ndef test_x(): os._exit(7)\n", r".*exit code (?:7|#).*"),
}  # fmt: skip
CAUSES = tuple(str(row["id"]) for row in verdicts() if row["cause"])


def of_log(text: str) -> str:
    rules: tuple[Rule, ...] = decode(tuple[Rule, ...], verdict_rules(), "rules", [])
    return judge_log(Facts(log=text), rules, CAUSES).symptom


@pytest.fixture
def symptoms(agent: AgentProcess) -> dict[str, tuple[str, str, str]]:
    """By failure: the symptoms of two runs, and that of the first run's log."""
    tests = [
        agent.write(f"t/test_{name}{run}.py", text.replace("{n}", str(number)))
        for name, (text, _) in FAILURES.items()
        for run, number in (("", 312), ("_again", 487))
    ]  # fmt: skip
    agent.run(a_suite(tests))
    ended = {event["test"]: event["symptom"] for event in agent.of("test-ended")}
    return {
        name: (
            ended[f"t/test_{name}.py"],
            ended[f"t/test_{name}_again.py"].replace("_again", ""),
            of_log(agent.log(f"t/test_{name}.py")),
        )
        for name in FAILURES
    }


def test_a_failure_has_its_symptom_in_each_run_and_in_the_log(
    symptoms: dict[str, tuple[str, str, str]],
) -> None:
    for name, (_, pattern) in FAILURES.items():
        one, again, log = symptoms[name]
        if name != "import":  # another module is another failure
            assert one == again, name
        assert re.fullmatch(pattern, one), (name, one)
        if name not in ("signal", "exit"):  # how the process ended is not in the log
            assert log == one, name
    assert len({one for one, _, _ in symptoms.values()}) == len(FAILURES)
