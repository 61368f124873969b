"""Arguments for pytest that cannot be honoured are refused once, before the first test, by the interpreter that would run them."""

import pytest

from support.agent_process import AgentProcess, a_suite, retry

PASSES = "def test_a(): pass\ndef test_b(): pass\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["-p", "no_such_plugin"], "no_such_plugin"),
        (["--maxfail", "many"], "invalid int value"),
        (["-k", "a b("], "Wrong expression passed to '-k'"),
        (["-m", "and"], "Wrong expression passed to '-m'"),
        (["-qh"], "--help: no case would be run"),
        (["-vsx", "--setup-plan"], "--setup-plan: no case would be run"),
        (["-o", "addopts=--collect-only"], "--collect-only: no case would be run"),
        (["test_b.py"], "test_b.py: tests are named by --test"),
    ],
)
def test_they_are_refused_once_and_no_test_is_started(
    agent: AgentProcess, arguments: list[str], said: str
) -> None:
    tests = [agent.write(name, PASSES) for name in ("test_a.py", "test_b.py")]
    agent.run(a_suite(tests), pytest_args=arguments)
    (failure,) = agent.of("executor-failed")
    assert failure["verdict"] == "usage"
    assert said in " ".join(failure["problems"])
    assert len(failure["problems"]) == len(set(failure["problems"]))
    assert not agent.of("test-started")
    assert agent.of("agent-ended")[0]["reason"] == "done"


def test_those_of_the_variable_are_tried_too(agent: AgentProcess) -> None:
    suite = a_suite([agent.write("test_a.py", PASSES)])
    agent.run({**suite, "env": {**suite["env"], "PYTEST_ADDOPTS": "--fixtures"}})
    assert "--fixtures: no case would be run" in agent.of("executor-failed")[0]["problems"][0]


@pytest.mark.parametrize("folders", [("one",), ("one", "two")])
def test_an_option_of_a_folders_conftest_is_known_there(
    agent: AgentProcess, folders: tuple[str, ...]
) -> None:
    for folder in folders:
        (agent.root / folder).mkdir()
    agent.write("one/conftest.py", "def pytest_addoption(parser): parser.addoption('--mine')\n")
    tests = [agent.write(f"{folder}/test_{folder}.py", PASSES) for folder in folders]
    agent.run(a_suite(tests), pytest_args=["--mine", "1"])
    if len(folders) == 1:
        assert agent.ended("one/test_one.py")["outcome"] == "passed"
    else:
        assert "unrecognized arguments: --mine" in agent.of("executor-failed")[0]["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "cases"),
    [
        (["-v", "--durations=3"], {"passed": 2}),
        (["-k", "test_b"], {"passed": 1}),
        (["--deselect", "test_a.py::test_a"], {"passed": 1}),
        (["-p", "no:faulthandler"], {"passed": 2}),
        (["--setup-show"], {"passed": 2}),
        (["--noconftest"], {"passed": 2}),
    ],
)
def test_what_can_be_honoured_is(agent: AgentProcess, arguments: list[str], cases: dict[str, int]) -> None:
    agent.run(a_suite([agent.write("test_a.py", PASSES)]), pytest_args=arguments)
    assert (agent.ended("test_a.py")["outcome"], agent.ended("test_a.py")["cases"]) == ("passed", cases)


def test_a_conftest_that_cannot_be_imported_is_a_failure_of_its_tests(agent: AgentProcess) -> None:
    agent.write("conftest.py", "import nothing_like_it\n")
    agent.run(a_suite([agent.write("test_a.py", PASSES)]), pytest_args=["-v"])
    assert not agent.of("executor-failed")
    assert agent.ended("test_a.py")["outcome"] == "failed"


def test_a_selection_that_leaves_nothing_of_a_file_is_no_failure_of_it(agent: AgentProcess) -> None:
    one, two = agent.write("test_a.py", PASSES), agent.write("test_b.py", "def test_c(): pass\n")
    agent.run(a_suite([one, two]), pytest_args=["-k", "test_c"])
    assert agent.ended("test_a.py")["outcome"] == "skipped"
    assert agent.ended("test_a.py")["skip_reasons"] == ["pytest's options select none of its 2 cases"]
    assert agent.ended("test_b.py")["cases"] == {"passed": 1}


def test_the_first_failure_ends_the_file_and_the_rest_is_named(agent: AgentProcess) -> None:
    agent.run(a_suite([agent.write("test_a.py", "def test_z(): assert 0\n" + PASSES)]), pytest_args=["-x"])
    assert agent.ended("test_a.py")["cases"] == {"failed": 1}
    assert "2 cases not run: stopping after 1 failures" in [note["text"] for note in agent.of("note")]


MANY = "@pytest.mark.parametrize('n', [1, 2])\ndef test_many(n): pass\n"
# a file of SGLang: cases of unittest, a registration, a program of its own
OF_SGLANG = """import unittest
class TestMany(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("a server was started")
    def test_many(self): pass
if __name__ == "__main__":
    unittest.main()
"""


@pytest.mark.parametrize(
    ("text", "case", "said"),
    [
        (MANY, "test_many[3]", "nearest: test_many[2], test_many[1]"),
        (MANY, "test_many[1]x", "nearest: test_many[1]"),
        (OF_SGLANG, "TestMany::test_many[9]", "nearest: TestMany::test_many"),
    ],
)
def test_a_node_id_that_does_not_exist_is_the_requests_fault_once(
    agent: AgentProcess, text: str, case: str, said: str
) -> None:
    """Also beside one that exists, and where everything is tried again."""
    there = f"test_a.py::{case.partition('[')[0]}" + ("[1]" if text is MANY else "")
    test = {**agent.write("test_a.py", f"import pytest\n{text}"), "cases": [f"test_a.py::{case}", there]}
    retries = [retry(verdict, 3) for verdict in ("product", "infra", "unknown", "device")]
    agent.run(a_suite([test], retries=retries))
    (ended,) = agent.of("test-ended")
    assert (ended["verdict"], ended["gates"], ended["cases"]) == ("usage", True, {})
    (line,) = ended["evidence"]
    assert line.startswith(f"test_a.py::{case} does not exist; {said}")
