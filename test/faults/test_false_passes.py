"""Ways to look like a pass: bounds that were broken or never asked, bodies that never ran, reports that were changed."""

from typing import ClassVar

import pytest

from support.agent_process import AgentProcess, a_metric, a_suite

# `measure(name, value)` is what the harness does: it sends the value with its row, then raises when the row is broken
MEASURE = """
import json, os, pytest, unittest
class BoundsError(AssertionError):
    verdict = "bounds"
def measure(name, value, ok=None):
    bound = {"ok": value > 10 if ok is None else ok, "op": ">", "limit": 10, "source": "x", "report_only": False}
    message = {"type": "metric", "metric": name, "value": value, "unit": "ms", "bound": bound}
    os.write(int(os.environ["AMD_CI_EVENTS_FD"]), json.dumps(message).encode())
    if not bound["ok"]:
        raise BoundsError(f"{name} is broken")
class Lacking(pytest.skip.Exception):
    def __init__(self, lacks):
        super().__init__(lacks, allow_module_level=True)
        self.lacks = lacks
"""
PASSES = "def test_other(): pass\n"


class TestBrokenBounds:
    @pytest.mark.parametrize(
        "body",
        [
            "def test_a():\n    try: measure('m', 1)\n    except BaseException: pass\n",
            "def test_a():\n    try: measure('m', 1)\n    except AssertionError: pytest.skip('too slow today')\n",
            "def test_a():\n    try: measure('m', 1)\n    except AssertionError: pytest.xfail('too slow today')\n",
            "@pytest.mark.xfail\ndef test_a(): measure('m', 1)\n",
            "@pytest.mark.xfail(strict=True)\ndef test_a(): measure('m', 1)\n",
            "def test_a(): measure('m', 1, ok=True)\n",
            "@pytest.fixture\ndef slow():\n    try: measure('m', 1)\n    except AssertionError: pass\ndef test_a(slow): pass\n",
            "class TestA(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_a(self): measure('m', 1)\n",
            "class TestA(unittest.TestCase):\n    def test_a(self):\n        try: measure('m', 1)\n        except AssertionError: self.skipTest('too slow')\n",
        ],
    )
    def test_a_broken_bound_fails_its_case_whatever_the_case_does(
        self, agent: AgentProcess, body: str
    ) -> None:
        test = agent.write("test_a.py", MEASURE + body + PASSES)
        agent.run(a_suite([{**test, "metrics": [a_metric("m", "test_a")]}]))
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"], ended["gates"]) == ("failed", "bounds", True)
        assert "m = 1 ms, must be > 10" in " ".join(ended["evidence"])
        (failed,) = (case for case in agent.of("case") if case["outcome"] == "failed")
        assert (failed["verdict"], failed["case"].rpartition("::")[2]) == ("bounds", "test_a")
        assert agent.of("metric")[0]["bound"]["ok"] is False

    @pytest.mark.parametrize("where", ["import", "at the end"])
    def test_one_outside_of_every_case_fails_the_attempt(self, agent: AgentProcess, where: str) -> None:
        quiet = "try: measure('m', 1)\nexcept AssertionError: pass\n"
        if where == "at the end":
            quiet = "import atexit\natexit.register(lambda: measure('m', 1))\n"
        agent.run(a_suite([agent.write("test_a.py", MEASURE + quiet + PASSES)]))
        assert (agent.ended("test_a.py")["verdict"], agent.ended("test_a.py")["gates"]) == ("bounds", True)

    def test_one_in_a_script_fails_it(self, agent: AgentProcess) -> None:
        script = agent.write("a.py", MEASURE + "try: measure('m', 1)\nexcept AssertionError: pass\n")
        agent.run(a_suite([{**script, "kind": "script"}]))
        assert agent.ended("a.py")["verdict"] == "bounds"

    def test_a_quarantine_row_of_the_case_covers_it(self, agent: AgentProcess) -> None:
        text = MEASURE + "@pytest.mark.xfail\ndef test_a(): measure('m', 1)\n" + PASSES
        agent.run(a_suite([{**agent.write("test_a.py", text), "quarantine": ["test_a.py::test_a"]}]))
        assert (agent.ended("test_a.py")["verdict"], agent.ended("test_a.py")["gates"]) == ("bounds", False)


class TestUnmeasuredBounds:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("@pytest.mark.skip(reason='not today')\ndef test_a(): measure('m', 20)\n", "not today"),
            ("@pytest.mark.xfail(reason='known')\ndef test_a(): assert 0\n", "known"),
            ("@pytest.mark.xfail(reason='known')\ndef test_a(): pass\n", "known"),
            ("def test_a(): pass\n", ""),
            ("", ""),
            (
                "def test_a():\n    text = json.dumps({'type': 'metric', 'metric': 'm', 'value': 20, 'unit': 'ms', 'bound': None})\n    os.write(int(os.environ['AMD_CI_EVENTS_FD']), text.encode())\n",
                "",
            ),
            ("def test_c(): raise Lacking('no vision')\n", ""),
        ],
    )
    def test_a_row_without_a_value_is_failed_and_named(
        self, agent: AgentProcess, body: str, said: str
    ) -> None:
        test = agent.write("test_a.py", MEASURE + body + PASSES)
        agent.run(a_suite([{**test, "metrics": [a_metric("m", "test_a")]}]))
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"]) == ("failed", "product")
        assert "unmeasured: no value of 'm'" in ended["evidence"][0]
        assert said in ended["evidence"][0]
        assert [(row["metric"], row["failed"]) for row in ended["unmeasured"]] == [("m", True)]

    @pytest.mark.parametrize(
        "body",
        [
            "def test_a(): raise Lacking('no vision')\n",
            "class TestA:\n    @pytest.fixture(scope='class')\n    def server(self): raise Lacking('no vision')\n    def test_a(self, server): pass\n",
            "raise Lacking('no vision')\n",
        ],
    )
    def test_a_missing_feature_excuses_it(self, agent: AgentProcess, body: str) -> None:
        test = agent.write("test_a.py", MEASURE + PASSES + body)
        agent.run(a_suite([{**test, "metrics": [a_metric("m", "test_a", "TestA::test_a")]}]))
        ended = agent.ended("test_a.py")
        assert (ended["outcome"] in ("passed", "skipped"), ended["verdict"]) == (True, "passed")
        assert [(row["metric"], row["because"]) for row in ended["unmeasured"]] == [("m", "no vision")]

    def test_a_file_that_skips_itself_holds_no_bound(self, agent: AgentProcess) -> None:
        text = MEASURE + "pytest.skip('not today', allow_module_level=True)\n"
        test = agent.write("test_a.py", text)
        agent.run(a_suite([{**test, "metrics": [a_metric("m", "test_a")]}]))
        assert agent.ended("test_a.py")["verdict"] == "product"

    def test_a_part_of_a_file_is_asked_for_its_own_rows(self, agent: AgentProcess) -> None:
        text = MEASURE + "def test_a(): pass\ndef test_b(): pass\n"
        metrics = [a_metric("m", "test_a"), a_metric("n", "test_b"), a_metric("unknown")]
        test = {**agent.write("test_a.py", text), "metrics": metrics, "cases": ["test_a.py::test_b"]}
        agent.run(a_suite([test]))
        assert [row["metric"] for row in agent.ended("test_a.py")["unmeasured"]] == ["n"]
        assert agent.ended("test_a.py")["verdict"] == "product"

    def test_a_failure_keeps_its_verdict_and_shows_the_row(self, agent: AgentProcess) -> None:
        text = (
            MEASURE
            + "class InfraError(Exception): verdict = 'infra'\ndef test_a(): raise InfraError('no disk')\n"
        )
        test = {**agent.write("test_a.py", text), "metrics": [a_metric("m", "test_a")]}
        agent.run(a_suite([test]))
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], [row["metric"] for row in ended["unmeasured"]]) == ("infra", ["m"])

    def test_a_quarantined_failure_beside_it_does_not_hide_it(self, agent: AgentProcess) -> None:
        text = MEASURE + "def test_a(): assert 0\n@pytest.mark.skip(reason='x')\ndef test_b(): pass\n"
        test = {**agent.write("test_a.py", text), "metrics": [a_metric("m", "test_b")]}
        agent.run(a_suite([{**test, "quarantine": ["test_a.py::test_a"]}]))
        assert agent.ended("test_a.py")["gates"] is True


class TestBodiesThatDidNotRun:
    GREEN = "import pytest\n@pytest.hookimpl(hookwrapper=True, tryfirst=True)\ndef pytest_runtest_makereport(item, call):\n"
    CONFTESTS: ClassVar = {
        "a report is changed": GREEN
        + "    outcome = yield\n    report = outcome.get_result()\n    report.outcome, report.longrepr = 'passed', None\n",
        "a report is replaced": GREEN
        + "    outcome = yield\n    outcome.force_result(pytest.TestReport(item.nodeid, item.location, {}, 'passed', None, call.when))\n",
        "a report becomes a skip": GREEN
        + "    report = (yield).get_result()\n    if report.failed: report.outcome, report.longrepr = 'skipped', ('a', 1, 'fine')\n",
        "reports are made otherwise": "from _pytest.reports import TestReport\nold = TestReport.from_item_and_call\n"
        "def new(item, call):\n    report = old(item, call)\n    report.outcome, report.longrepr = 'passed', None\n    return report\n"
        "TestReport.from_item_and_call = new\n",
        "the call is caught": "import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_call(item):\n"
        "    outcome = yield\n    outcome.force_result(None)\n",
        "the function is not called": "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n",
        "the protocol is replaced": "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item, nextitem):\n"
        "    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)\n"
        "    report = pytest.TestReport(item.nodeid, item.location, {}, 'passed', None, 'call')\n    report.duration = 0\n"
        "    item.ihook.pytest_runtest_logreport(report=report)\n"
        "    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)\n    return True\n",
        "the protocol is empty": "def pytest_runtest_protocol(item, nextitem): return True\n",
        "the loop is empty": "def pytest_runtestloop(session): return True\n",
        "only the setup is run": "def pytest_configure(config): config.option.setuponly = True\n",
        "nothing but the collection": "def pytest_configure(config): config.option.collectonly = True\n",
        "the function is replaced": "def pytest_runtest_setup(item): item.obj = lambda: None\n",
        "the function is replaced early": "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.obj = lambda: None\n",
        "cases are dropped": "def pytest_collection_modifyitems(items): items[:] = []\n",
        "the code is changed": "def pytest_sessionfinish(session): session.exitstatus = 0\n"
        + GREEN
        + "    outcome = yield\n    outcome.get_result().outcome = 'passed'\n",
        "the process leaves": "import os\ndef pytest_collection_finish(session): os._exit(0)\n",
    }

    @pytest.mark.parametrize("how", CONFTESTS)
    def test_a_conftest_turns_nothing_green(self, agent: AgentProcess, how: str) -> None:
        text = "import unittest\ndef test_a(): assert 0\n"
        text += "class TestA(unittest.TestCase):\n    def test_a(self): self.assertTrue(False)\n"
        agent.write("conftest.py", self.CONFTESTS[how])
        agent.run(a_suite([agent.write("test_a.py", text)]))
        ended = agent.ended("test_a.py")
        if how == "cases are dropped":
            assert (ended["outcome"], ended["cases"]) == ("skipped", {"skipped": 2})
        else:
            assert ended["outcome"] == "failed"
            assert ended["verdict"] in ("product", "unknown")
            assert ended["cases"].keys() <= {"failed"}

    @pytest.mark.parametrize("phase", ["before", "after"])
    def test_nor_what_goes_wrong_around_the_body(self, agent: AgentProcess, phase: str) -> None:
        agent.write("conftest.py", self.CONFTESTS["a report is changed"])
        text = "import pytest\n@pytest.fixture\ndef server():\n"
        text += (
            "    raise OSError('no server')\n"
            if phase == "before"
            else "    yield\n    raise OSError('it is gone')\n"
        )
        agent.run(a_suite([agent.write("test_a.py", text + "def test_a(server): pass\n")]))
        assert (agent.ended("test_a.py")["outcome"], agent.ended("test_a.py")["verdict"]) == (
            "failed",
            "product",
        )

    def test_every_kind_of_body_that_runs_is_a_pass(self, agent: AgentProcess) -> None:
        text = """
import asyncio, contextlib, pytest, unittest
def test_plain(tmp_path): assert tmp_path
@pytest.mark.parametrize("n", [1, 2])
def test_many(n): assert n
class TestA:
    def test_method(self): assert self
    @staticmethod
    def test_static(): pass
    @classmethod
    def test_class(cls): assert cls
class TestB(unittest.TestCase):
    def test_method(self):
        for n in range(3):
            with self.subTest(n=n): self.assertGreater(5, n)
class TestC(unittest.IsolatedAsyncioTestCase):
    async def test_method(self): await asyncio.sleep(0)
class Retrying(unittest.TestCase):
    def _callTestMethod(self, method): method()
class TestD(Retrying):
    def test_method(self): self.assertTrue(method_of(self))
def method_of(case): return getattr(case, case._testMethodName)
"""
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert agent.ended("test_a.py")["cases"] == {"passed": 9}, agent.log("test_a.py")
        assert agent.ended("test_a.py")["outcome"] == "passed"

    def test_a_case_that_is_dropped_is_shown(self, agent: AgentProcess) -> None:
        agent.write("conftest.py", "def pytest_collection_modifyitems(items): del items[0]\n")
        agent.run(a_suite([agent.write("test_a.py", "def test_a(): assert 0\n" + PASSES)]))
        dropped = agent.cases("test_a.py")["test_a"]
        assert (dropped["outcome"], dropped["message"]) == (
            "skipped",
            "deselected by a conftest.py or a plugin",
        )

    def test_a_retry_inside_pytest_is_noted(self, agent: AgentProcess) -> None:
        conftest = (
            "from _pytest.runner import runtestprotocol\ndef pytest_runtest_protocol(item, nextitem):\n"
        )
        conftest += "    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)\n"
        conftest += "    for _ in range(2): reports = runtestprotocol(item, nextitem=nextitem, log=False)\n"
        conftest += "    for report in reports: item.ihook.pytest_runtest_logreport(report=report)\n"
        conftest += "    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)\n    return True\n"
        agent.write("conftest.py", conftest)
        text = "import os\ndef test_a():\n    if not os.path.exists('once'):\n        open('once', 'w')\n        assert 0\n"
        agent.run(a_suite([agent.write("test_a.py", text)]))
        assert "run again after AssertionError" in " ".join(note["text"] for note in agent.of("note"))


class TestExpectedFailures:
    @pytest.mark.parametrize(
        ("text", "outcome"),
        [
            ("@pytest.mark.xfail\ndef test_a(): assert 0\n", "xfailed"),
            ("@pytest.mark.xfail\ndef test_a(): pass\n", "xfailed"),
            ("def test_a(): pytest.xfail('known')\n@pytest.mark.skip\ndef test_b(): pass\n", "xfailed"),
            ("@pytest.mark.xfail\ndef test_a(): assert 0\n" + PASSES, "passed"),
            ("@pytest.mark.xfail(strict=True)\ndef test_a(): pass\n" + PASSES, "failed"),
        ],
    )
    def test_what_is_expected_to_fail_is_no_pass(self, agent: AgentProcess, text: str, outcome: str) -> None:
        agent.run(a_suite([agent.write("test_a.py", "import pytest\n" + text)]))
        assert agent.ended("test_a.py")["outcome"] == outcome
