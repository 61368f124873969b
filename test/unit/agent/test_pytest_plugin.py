"""What pytest reports of a test file becomes messages to the agent."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ci.agent.messages import MESSAGE_BYTES, Channel, parse_message
from ci.agent.pytest_plugin import DETAILS_BYTES, CaseReporter
from ci.agent.spec import parse_spec
from support.agent_process import AgentProcess, a_suite, a_test

pytestmark = pytest.mark.in_container
pytest_plugins = ["pytester"]

Message = dict[str, Any]


class Run:
    """Runs a test file in this process with the plugin, and takes its messages."""

    def __init__(self, pytester: pytest.Pytester, channel: Channel, ours: socket.socket) -> None:
        self._pytester = pytester
        self._channel = channel
        self._ours = ours
        self.code = -1

    def messages(self, source: str) -> list[tuple[str, Message]]:
        path = self._pytester.makepyfile(test_a=source)
        agent = AgentProcess(self._pytester.mkdir("agent"))
        spec = parse_spec(json.dumps(agent.spec(a_suite([a_test("test_a.py")]), root=str(path.parent))))
        test = spec.suites[0].tests[0]
        reporter = CaseReporter(self._channel, spec, test, pytest)
        self.code = int(
            self._pytester.runpytest_inprocess("-p", "no:cacheprovider", "test_a.py", plugins=[reporter]).ret
        )
        return list(self._received())

    def cases(self, source: str) -> dict[str, Message]:
        """The cases by the part of their id behind the file."""
        messages = [keys for kind, keys in self.messages(source) if kind == "case"]
        return {keys["case"].partition("::")[2] or keys["case"]: keys for keys in messages}

    def _received(self) -> Iterator[tuple[str, Message]]:
        self._ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                yield parse_message(self._ours.recv(MESSAGE_BYTES))


@pytest.fixture
def run(pytester: pytest.Pytester) -> Iterator[Run]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, contextlib.closing(Channel(theirs.fileno())) as channel:
        yield Run(pytester, channel, ours)


def test_progress_counts_the_cases_before_each_begins(run: Run) -> None:
    messages = run.messages("def test_a(): pass\ndef test_b(): pass\n")
    assert messages.pop(0) == ("collected", {"names": ["test_a", "test_b"]})
    assert [(kind, keys.get("text") or keys.get("case")) for kind, keys in messages] == [
        ("progress", "test_a.py::test_a"),
        ("case", "test_a.py::test_a"),
        ("progress", "test_a.py::test_b"),
        ("case", "test_a.py::test_b"),
    ]
    assert [(keys["done"], keys["total"]) for kind, keys in messages if kind == "progress"] == [
        (0, 2),
        (1, 2),
    ]


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        ("pass", "passed", ""),
        ("assert 1 == 2", "failed", "assert 1 == 2"),
        ("import pytest; pytest.fail('not today')", "failed", "not today"),
        ("import pytest; pytest.skip('needs 8 GPUs')", "skipped", "needs 8 GPUs"),
        ("import pytest; pytest.xfail('known')", "xfailed", "known"),
    ],
)
def test_an_outcome_has_its_reason(run: Run, body: str, outcome: str, message: str) -> None:
    case = run.cases(f"def test_a():\n    {body}\n")["test_a"]
    assert case["outcome"] == outcome
    assert message in case["message"]
    assert case["assertion"] is (outcome == "failed")


def test_the_line_of_a_failure_is_the_innermost_one_of_the_test_file(run: Run) -> None:
    case = run.cases("import json\ndef deep():\n    json.loads('{')\n\ndef test_a():\n    deep()\n")["test_a"]
    assert (case["file"], case["line"]) == ("test_a.py", 3)
    assert case["assertion"] is False
    assert "JSONDecodeError" in case["message"]


def test_a_verdict_comes_from_the_exception_or_from_what_caused_it(run: Run) -> None:
    source = "class InfraError(Exception):\n    verdict = 'infra'\n"
    source += "def test_own(): raise InfraError('no server')\n"
    source += "def test_cause():\n    try: raise InfraError('no server')\n"
    source += "    except InfraError as error: raise RuntimeError('wrapped') from error\n"
    source += "def test_other(): raise RuntimeError('neither')\n"
    cases = run.cases(source)
    assert {name: case["verdict"] for name, case in cases.items()} == {
        "test_own": "infra",
        "test_cause": "infra",
        "test_other": None,
    }


def test_a_teardown_that_breaks_is_not_excused_by_a_verdict_of_the_test(run: Run) -> None:
    source = "import pytest\nclass BoundError(AssertionError):\n    verdict = 'bounds'\n"
    source += "@pytest.fixture\ndef server():\n    yield\n    raise OSError('the server is gone')\n"
    source += "def test_a(server): raise BoundError('too slow')\n"
    case = run.cases(source)["test_a"]
    assert (case["verdict"], case["assertion"]) == (None, False)
    assert "the server is gone" in case["message"]
    assert "too slow" in case["details"]


def test_an_error_of_the_hub_names_the_model(run: Run) -> None:
    source = "def cached_files(path_or_repo_id): raise OSError('cannot connect')\n"
    source += "def test_a():\n    try: cached_files('org/model')\n"
    source += "    except OSError as error: raise RuntimeError('retried') from error\n"
    source += "def test_b(): cached_files('org/other')\n"
    cases = run.cases(source)
    assert cases["test_b"]["message"] == "OSError: cannot connect (wanted: org/other)"
    (failure,) = cases["test_a"]["failures"]
    assert [error["message"] for error in failure["chain"]] == [
        "retried",
        "cannot connect (wanted: org/model)",
    ]


def test_a_file_that_cannot_be_collected_is_a_failed_case(run: Run) -> None:
    cases = run.cases("import nothing_like_it\n")
    assert run.code == 2
    assert cases["test_a.py"]["outcome"] == "failed"
    assert "No module named 'nothing_like_it'" in cases["test_a.py"]["details"]


def test_a_module_that_skips_itself_is_a_skipped_case(run: Run) -> None:
    cases = run.cases("import pytest\npytest.skip('not on the CPU', allow_module_level=True)\n")
    assert (cases["test_a.py"]["outcome"], cases["test_a.py"]["message"]) == ("skipped", "not on the CPU")


def test_details_keep_their_end(run: Run) -> None:
    case = run.cases("def test_a():\n    raise RuntimeError('x' * 100_000 + 'the end')\n")["test_a"]
    assert case["details"].startswith("[...]\n")
    assert len(case["details"].encode()) <= DETAILS_BYTES + len("[...]\n")
    assert "the end" in case["details"]


def test_leaving_in_the_middle_is_a_failed_case_whatever_the_exit_code(run: Run) -> None:
    cases = run.cases(
        "import pytest\ndef test_a(): pytest.exit('enough', returncode=0)\ndef test_b(): pass\n"
    )
    assert run.code == 0
    assert list(cases) == ["test_a"]
    assert cases["test_a"]["outcome"] == "failed"
    assert "enough" in cases["test_a"]["message"]
