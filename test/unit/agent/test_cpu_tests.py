"""SGLang's own tests on a CPU: what needs a GPU, what is not judged, and that nothing else is excused.

The files are like SGLang's: unittest classes whose cases go through a retry, servers that are processes of their own.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.agent_process import AgentProcess, Event, a_suite, cpu_tests
from support.measured import measured_environ

pytestmark = pytest.mark.in_container

NO_DRIVER = "Found no driver on your system"
TREE = {
    "torch/__init__.py": "",
    "torch/cuda/__init__.py": f"""
def _lazy_init(): raise RuntimeError("{NO_DRIVER}")
def _cpu_build(): raise AssertionError("Torch not compiled with CUDA enabled")
""",
    "kernels/__init__.py": """
class StandInError(NotImplementedError): pass
def call(): raise StandInError("fused_moe is a kernel")
""",
    "engine/__init__.py": "",
    "engine/product.py": "def add(a, b): return a + b\n",
    "engine/utils.py": """
import traceback
def retry(fn):
    try: return fn()
    except Exception:
        traceback.print_exc()
        raise Exception("retry() exceed maximum number of retries.")
""",
    "engine/test_utils.py": """
import subprocess, sys, unittest
from engine.utils import retry
class CustomTestCase(unittest.TestCase):
    def _callTestMethod(self, method): retry(lambda: super(CustomTestCase, self)._callTestMethod(method))
def popen_launch_server(how):
    print("command=sglang serve", flush=True)
    print("OSError: [Errno 28] No space left on device: an old message", flush=True)
    code = subprocess.Popen([sys.executable, "-m", "engine.server", how]).wait()
    raise Exception(f"Server process exited with code {code}. Check server logs for errors.")
""",
    "engine/server.py": """
import os, signal, subprocess, sys, traceback
def scheduler(how):
    from torch.cuda import _lazy_init
    try:
        try: _lazy_init()
        except RuntimeError as error:
            print(f"Ignore import error: {error}", flush=True)
            if how == "gpu": raise
        raise ValueError("the scheduler's own")
    except Exception:
        print("[12:00] Scheduler hit an exception: " + traceback.format_exc(), flush=True)
def launch(how):
    subprocess.run([sys.executable, "-m", "engine.server", "scheduler", how])
    print("Received sigquit from a child process. A common cause is the OS OOM killer.", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    scheduler(sys.argv[2]) if sys.argv[1] == "scheduler" else launch(sys.argv[1])
""",
}
BEGIN = """
import traceback, unittest, warnings
from engine.test_utils import CustomTestCase, popen_launch_server
from engine.product import add
from torch.cuda import _cpu_build, _lazy_init
import engine.product, kernels
class TestIt(CustomTestCase):
    def test_first(self): self.assertEqual(add(1, 2), 3)
"""


def cases(bodies: Mapping[str, str]) -> str:
    return BEGIN + "".join(f"    def test_{name}(self):\n        {body}\n" for name, body in bodies.items())


def case(body: str) -> str:
    return cases({"it": body})


def set_up(body: str) -> str:
    return f"{BEGIN}    @classmethod\n    def setUpClass(cls): {body}\n    def test_second(self): pass\n"


SCORE = """
import unittest
metrics = {"score": 0.1}
class TestScore(unittest.TestCase):
    def test_score(self):
        with self.subTest("score"):
            self.assertGreater(
                metrics["score"],
                0.3,
            )
"""
SCRIPT = "from torch.cuda import _lazy_init\nimport traceback\n"

# What really needs a GPU, in each place where it can end a case; the first are cases of one file.
CASES_THAT_NEED_GPU: Mapping[str, str] = {
    "in_a_case": "_lazy_init()",
    "cpu_build": "_cpu_build()",
    "stand_in": "kernels.call()",
    "in_a_subtest": "with self.subTest('x'): _lazy_init()",
    "in_hundreds_of_subtests": "for n in range(300):\n          with self.subTest(n=n): _lazy_init()",
}
NEEDS_GPU: Mapping[str, str] = {
    "cases_that_need_a_gpu": cases(CASES_THAT_NEED_GPU),
    "in_set_up_class": set_up("_lazy_init()"),
    "at_import": f"{BEGIN}\n_lazy_init()\n",
    "in_a_fixture": "import pytest\nfrom torch.cuda import _lazy_init\n@pytest.fixture\ndef gpu(): _lazy_init()\ndef test_a(gpu): pass\n",
    "server": set_up("popen_launch_server('gpu')"),
    "server_of_a_case": case("popen_launch_server('gpu')"),
    "engine_that_kills_the_test": case("import engine.server; engine.server.launch('gpu')"),
    "script": f"{SCRIPT}_lazy_init()\n",
}
# The same words, or a fault beside them: none of this is excused.
FAILED_CASES: Mapping[str, str] = {
    "product_function_broken": "self.assertEqual(engine.product.add(1, -2), 3)",
    "the_same_message_from_another_file": f"raise RuntimeError('{NO_DRIVER}')",
    "another_message_from_the_same_file": "import torch.cuda; torch.cuda._lazy_init(1)",
    "caught_and_something_else_raised": "try: _lazy_init()\n        except RuntimeError: traceback.print_exc()\n        self.fail('other')",
    "raised_over_it": "try: _lazy_init()\n        except RuntimeError as error: raise KeyError('other') from error",
    "only_printed": f"print('RuntimeError: {NO_DRIVER}')\n        self.assertEqual(1, 2)",
    "one_of_two_subtests": "for gpu in (1, 0):\n          with self.subTest(gpu=gpu): _lazy_init() if gpu else add(1)",
    "one_of_hundreds_of_subtests": "for n in range(300):\n          with self.subTest(n=n): _lazy_init() if n < 299 else add(1)",
    "hundreds_of_different_errors": "for n in range(300):\n          with self.subTest(n=n): _lazy_init() if n < 8 else [][n]",
    "the_teardown_fails_too": "self.addCleanup([].pop)\n        _lazy_init()",
}
FAILED: Mapping[str, str] = {
    "failed_cases": cases(FAILED_CASES),
    "assertion_flipped": BEGIN.replace("assertEqual", "assertNotEqual"),
    "imported_name_removed": BEGIN.replace("import add", "import substract"),
    "scheduler_raises_something_else": set_up("popen_launch_server('other')"),
    "engine_that_kills_for_something_else": case("import engine.server; engine.server.launch('other')"),
    "another_case_fails": case("_lazy_init()") + "    def test_other(self): self.assertEqual(1, 2)\n",
    "the_score_of_another_file": SCORE,
    "script_with_an_error_of_its_own": f"{SCRIPT}try: _lazy_init()\nexcept RuntimeError: traceback.print_exc()\nraise KeyError(1)\n",
    "script_that_exits": f"{SCRIPT}try: _lazy_init()\nexcept RuntimeError: traceback.print_exc()\nprint('1 failed')\nraise SystemExit(1)\n",
}
WARNS = case(f"warnings.warn('CUDA is not available: RuntimeError: {NO_DRIVER}')")


def path_of(name: str) -> str:
    return f"t/test_{name}.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("cpu_tests")) as agent:
        for path, text in TREE.items():
            agent.write(path, text)
        tests = [agent.write(path_of(name), text) for name, text in {**NEEDS_GPU, **FAILED}.items()]
        tests = [{**test, "kind": "script" if "_script" in str(test["path"]) else "pytest"} for test in tests]
        tests += [agent.write(path_of("warns"), WARNS)]
        tests += [agent.write("test/registered/test_score.py", SCORE)]
        environ = {**measured_environ(), "PYTHONPATH": str(agent.root)}
        yield agent.start(a_suite(tests, env=environ, timeout_s=600), cpu_tests=cpu_tests(), jobs=2).wait(300)


def ended(agent: AgentProcess, path: str) -> Event:
    return next(event for event in agent.events if event["type"] == "test-ended" and event["test"] == path)


def of_case(agent: AgentProcess, file: str, name: str) -> Event:
    return agent.cases(path_of(file))[f"TestIt::test_{name}"]


@pytest.mark.parametrize("name", NEEDS_GPU)
def test_a_test_that_an_error_of_a_row_ended_needs_a_gpu(ran: AgentProcess, name: str) -> None:
    event = ended(ran, path_of(name))
    assert (event["outcome"], event["verdict"], event["gates"]) == ("needs-gpu", "passed", False)
    assert "row " in event["evidence"][-1]


@pytest.mark.parametrize("name", CASES_THAT_NEED_GPU)
def test_a_case_that_an_error_of_a_row_ended_needs_a_gpu(ran: AgentProcess, name: str) -> None:
    event = of_case(ran, "cases_that_need_a_gpu", name)
    assert event["outcome"] == "needs-gpu"
    assert "row " in event["message"]


@pytest.mark.parametrize("name", FAILED)
def test_nothing_else_is_excused(ran: AgentProcess, name: str) -> None:
    event = ended(ran, path_of(name))
    assert (event["outcome"], event["gates"]) == ("failed", True)


@pytest.mark.parametrize("name", FAILED_CASES)
def test_no_other_case_is_excused(ran: AgentProcess, name: str) -> None:
    assert of_case(ran, "failed_cases", name)["outcome"] == "failed"


def test_a_failure_names_the_error_that_a_retry_hides(ran: AgentProcess) -> None:
    (line,) = ended(ran, path_of("assertion_flipped"))["evidence"]
    assert "::TestIt::test_first: AssertionError: 3 == 3 (" in line
    assert "test_assertion_flipped.py:8, test_first)" in line
    (line,) = ended(ran, path_of("imported_name_removed"))["evidence"]
    assert ": ImportError: cannot import name 'substract' from 'engine.product'" in line


def test_a_warning_about_cuda_changes_nothing(ran: AgentProcess) -> None:
    assert ended(ran, path_of("warns"))["outcome"] == "passed"


def test_the_cases_that_passed_are_counted_beside_those_that_need_a_gpu(ran: AgentProcess) -> None:
    expected = {"passed": 1, "needs-gpu": len(CASES_THAT_NEED_GPU)}
    assert ended(ran, path_of("cases_that_need_a_gpu"))["cases"] == expected
    assert ended(ran, path_of("failed_cases"))["cases"] == {"passed": 1, "failed": len(FAILED_CASES)}
    assert ended(ran, path_of("in_set_up_class"))["cases"] == {"needs-gpu": 2}
    assert ended(ran, path_of("server"))["cases"] == {"needs-gpu": 2}


def test_a_score_of_a_stand_in_model_is_not_judged(ran: AgentProcess) -> None:
    event = ended(ran, "test/registered/test_score.py")
    assert (event["outcome"], event["cases"]) == ("not-judged", {"not-judged": 1})
    assert 'self.assertGreater(metrics["score"], 0.3)' in event["evidence"][0]


def test_a_server_that_ended_is_explained_by_its_first_process(ran: AgentProcess) -> None:
    evidence = ended(ran, path_of("scheduler_raises_something_else"))["evidence"]
    assert evidence[0].startswith("Scheduler ended first: ValueError: the scheduler's own (")
    assert "no lack of memory" in evidence[1]
    assert ended(ran, path_of("scheduler_raises_something_else"))["verdict"] == "product"
    killed = ended(ran, path_of("engine_that_kills_for_something_else"))
    assert killed["evidence"][0] == evidence[0]
    assert (killed["verdict"], killed["signal"]) == ("product", "SIGKILL")


@pytest.mark.processes
def test_without_rows_the_same_files_fail(tmp_path: Path) -> None:
    with AgentProcess(tmp_path) as agent:
        for path, text in TREE.items():
            agent.write(path, text)
        environ = {**measured_environ(), "PYTHONPATH": str(agent.root)}
        agent.run(a_suite([agent.write(path_of("a"), case("_lazy_init()"))], env=environ))
        assert ended(agent, path_of("a"))["outcome"] == "failed"
