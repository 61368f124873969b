"""The host executor with a program in the agent's place: its events, its end, and what is left of it."""

import hashlib
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.verdicts import Verdict
from ci.errors import InfrastructureError, UsageError
from ci.execute.agent_file import AgentFile
from ci.execute.executor import RunInputs
from ci.execute.host import HostExecutor, refuse
from ci.execute.process_sweep import processes_with
from ci.execute.run_folder import RunFolder
from ci.execute.spec import make_spec
from ci.record.events import AgentEnded, By, ExecutorFailed, Note
from ci.system import clock
from support.planning import catalog, facts, planned, registration, request

pytestmark = pytest.mark.processes

ENDED = 'print(\'{"type": "agent-ended", "seq": 7, "reason": "done", "leftovers": []}\', flush=True)\n'
# until its standard input ends
WAIT = "sys.stdin.read()\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
# it has said something: in the middle of its start it has neither a command line nor an environment
CHILD = """
import subprocess
code = "print(flush=True); import time; time.sleep(62)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
"""

Start = Callable[..., HostExecutor]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a program as the agent."""

    def started(program: str, *, made: bool = True, python: str = sys.executable) -> HostExecutor:
        data = b"import os, sys, time\n" + program.encode()
        stand_in = AgentFile(data=data, sha256=hashlib.sha256(data).hexdigest())
        monkeypatch.setattr("ci.execute.host.agent_file", lambda: stand_in)
        plan = planned(catalog(), facts([registration("test_a.py")]), request())
        plan = replace(plan, placement=replace(plan.placement, python=python))
        folder = RunFolder(path=tmp_path / "run")
        if made:
            folder.logs.mkdir(parents=True)
        executor = HostExecutor(
            RunInputs(
                plan=plan,
                folder=folder,
                catalog=catalog(),
                token=clock.new_token(),
                environ={"PATH": "/usr/bin", "HOME": "/home/x", "SECRET": "no"},
            )
        )
        spec = make_spec(plan, run="run", run_dir=str(folder.path), token="t", known_features=())
        executor.start(spec)
        return executor

    return started


def token_of(executor: HostExecutor) -> str:
    return executor._token


def test_the_agent_gets_its_spec_and_what_the_plan_passes_through(start: Start, tmp_path: Path) -> None:
    program = "print(sorted(os.environ), sys.argv[1:], flush=True)\n" + ENDED
    with start(program) as executor:
        note, ended = executor.events()
    assert isinstance(note, Note)
    assert "'AMD_CI_TOKEN', 'HOME'" in note.text
    assert "SECRET" not in note.text
    spec = tmp_path / "run/spec.json"
    assert str([str(spec)]) in note.text
    assert stat.S_IMODE(spec.stat().st_mode) == 0o600
    assert isinstance(ended, AgentEnded)
    assert ended.by is By.AGENT
    assert executor.swept == ()


def test_standard_error_is_the_agents_log(start: Start, tmp_path: Path) -> None:
    with start("print('agent: something', file=sys.stderr)\n" + ENDED) as executor:
        list(executor.events())
    assert (tmp_path / "run/logs/agent.log").read_text() == "agent: something\n"


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("os._exit(3)", "it exited with 3"),
        ("os.kill(os.getpid(), 9)", "it was killed by signal 9"),
        ("print('gone wrong', file=sys.stderr)", "it exited with 0; its log ends: gone wrong"),
        ("sys.stdout.write('half a li')", "it exited with 0; the last line was cut: 'half a li'"),
    ],
)
def test_an_end_without_agent_ended_is_infrastructure(start: Start, program: str, cause: str) -> None:
    with start(program) as executor:
        (failed,) = executor.events()
    assert isinstance(failed, ExecutorFailed)
    assert (failed.cause, failed.verdict) == (cause, Verdict.INFRA)
    assert failed.then.startswith("read /")


def test_a_stop_ends_its_standard_input(start: Start) -> None:
    with start(WAIT + ENDED) as executor:
        executor.stop()
        executor.stop()
        (ended,) = executor.events()
    assert isinstance(ended, AgentEnded)


def test_an_agent_that_does_not_end_after_a_stop_is_killed_with_what_it_started(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.execute.host._SWEEP_S", -3.5)  # of the 4 s that the tests have to end
    with start(CHILD + "print('started', flush=True)\n" + DEAF) as executor:
        events = executor.events()
        next(events)
        executor.stop()
        (failed,) = events
    assert isinstance(failed, ExecutorFailed)
    assert (failed.cause, failed.verdict) == ("it did not end in time and was killed", Verdict.CANCELLED)
    assert any("time.sleep(62)" in process.command for process in executor.swept)
    assert processes_with(token_of(executor)) == ()


def test_what_outlives_the_agent_is_swept(start: Start) -> None:
    with start(CHILD + ENDED) as executor:
        list(executor.events())
    assert ["time.sleep(62)" in process.command for process in executor.swept] == [True]
    assert processes_with(token_of(executor)) == ()


def test_leaving_before_the_end_leaves_nothing(start: Start) -> None:
    with start(CHILD + "print('started', flush=True)\n" + WAIT + ENDED) as executor:
        events = executor.events()  # held: a reader that is dropped ends the agent
        next(events)
        assert processes_with(token_of(executor))
    assert processes_with(token_of(executor)) == ()


def test_an_interpreter_that_is_missing_is_exit_4_with_the_next_command(start: Start) -> None:
    with pytest.raises(InfrastructureError, match="cannot start the agent: No such file") as caught:
        start("", python="/nowhere/python")
    assert caught.value.then == "/nowhere/python --version"


def test_a_folder_that_cannot_be_written_is_exit_4(start: Start, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"cannot write .*spec\.json: No such file"):
        start("", made=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--no-such-option",), "pytest: unrecognized arguments: --no-such-option"),
        (("--mine", "1"), ""),
        (("-k", "a b("), "Wrong expression passed to '-k'"),
    ],
)
def test_arguments_for_pytest_are_tried_by_the_tests_interpreter(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--mine')\n")
    plan = planned(catalog(), facts([registration("test_a.py")]), request())
    plan = replace(
        plan,
        work=replace(plan.work, pytest_args=arguments),
        placement=replace(plan.placement, python=sys.executable, root=str(root)),
    )
    spec = make_spec(plan, run="", run_dir=str(tmp_path / "runs"), token="t", known_features=())
    environ = {"PATH": "/usr/bin", "TMPDIR": str(tmp_path)}
    if problem:
        with pytest.raises(UsageError, match="pytest cannot be run with these arguments") as caught:
            refuse(plan, spec, environ)
        assert problem in str(caught.value.problems[0])
        assert caught.value.then == f"{sys.executable} -m pytest --help"
    else:
        refuse(plan, spec, environ)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_without_an_answer_about_pytests_arguments_the_run_goes_on(tmp_path: Path) -> None:
    plan = planned(catalog(), facts([registration("test_a.py")]), request())
    plan = replace(
        plan,
        work=replace(plan.work, pytest_args=("-v",)),
        placement=replace(plan.placement, python="/nowhere/python"),
    )
    refuse(plan, make_spec(plan, run="", run_dir=str(tmp_path), token="t", known_features=()), {})
