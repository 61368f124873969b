"""What the agent reports of the cases of a test, and the verdict of each way to end."""

import json

import pytest

from support.agent_process import (
    AgentProcess,
    a_suite,
    a_test,
)


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
            ("os.kill(os.getpid(), 11)", "product", "SIGSEGV", "Segmentation fault ("),
            ("os.abort()", "product", "SIGABRT", "Fatal Python error: Aborted ("),
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
        assert evidence in " ".join(ended["evidence"])

    def test_a_crash_after_pytest_has_ended_is_not_a_pass(self, agent: AgentProcess) -> None:
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

    def test_what_is_printed_at_the_very_end_is_not_lost(self, agent: AgentProcess) -> None:
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
        assert agent.ended("test_a.py")["verdict"] == "usage"
        assert agent.ended("test_a.py")["evidence"] == ["test_a.py::test_z does not exist; nearest: test_a"]
        for test, word in (("test_none.py", "not found"), ("none.py", "No such file")):
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
