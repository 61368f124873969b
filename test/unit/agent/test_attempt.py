"""One attempt: its process, its output, its messages and its end; with a program in the place of the agent's own file."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ci.agent.attempt import Attempt, Place, RunContext
from ci.agent.events import Emitter
from ci.agent.judge import Ended
from ci.agent.machine import MachineFacts, MachineWatch
from ci.agent.processes import Children
from ci.agent.roles.meeting import Meeting
from ci.agent.spec import parse_spec
from ci.agent.stop import Stop
from support.agent_process import QUICK, AgentProcess, a_metric, a_suite, a_test, wait_for
from support.measured import measured_environ

pytestmark = [pytest.mark.in_container, pytest.mark.processes]

Event = dict[str, Any]
# what every program below begins with: `send(**message)` to the agent
BEGIN = """
import json, os, signal, socket, sys, time
channel = socket.socket(fileno=int(os.environ["AMD_CI_EVENTS_FD"]))
def send(**message): channel.send(json.dumps(message).encode())
"""


class Bench:
    """Runs one attempt of a program and reads its events."""

    def __init__(self, folder: Path) -> None:
        self._agent = AgentProcess(folder)
        self.stop = Stop()
        self.kinds: dict[str, list[Event]] = {}
        self.run_dir = self._agent.run_dir
        self.ended: list[Ended] = []

    def run(
        self,
        program: str,
        *,
        kind: str = "script",
        deadline_s: float = 60,
        on_start: Callable[[], None] = lambda: None,
        suite_env: Mapping[str, str] | None = None,
        roles: Sequence[Mapping[str, object]] = (),
        **test: object,
    ) -> Event:
        """The `test-ended` event of this program; every event by its type is in `kinds`."""
        path = self._agent.root / "program.py"
        path.write_text(BEGIN + program)
        suite = a_suite([a_test("test_a.py", kind=kind, **test)], roles=list(roles))
        suite["env"] = {**measured_environ(), **(suite_env or {})}
        spec = parse_spec(json.dumps(self._agent.spec(suite, limits=QUICK)))
        output, write_end = os.pipe()
        context = RunContext(
            program=path,
            spec=spec,
            spec_path=self.run_dir / "spec.json",
            emitter=Emitter(write_end, self.stop),
            children=Children(),
            stop=self.stop,
            log_names=set(),
            ended=self.ended,
        )
        attempt = Attempt(
            context,
            spec.suites[0],
            spec.suites[0].tests[0],
            1,
            Place(slot=2, gpu_ids=("3",), environ={"MINE": "yes"}),
        )
        on_start()
        attempt.run(time.monotonic() + deadline_s, alone=False)
        os.close(write_end)
        with os.fdopen(output, "rb") as stream:
            for line in stream:
                event = json.loads(line)
                self.kinds.setdefault(event["type"], []).append(event)
        (ended,) = self.kinds["test-ended"]
        return ended

    def log(self) -> bytes:
        """The log of the attempt."""
        return (self.run_dir / "logs/test_a.py.log").read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_script_that_ends_with_0_passes_and_its_output_is_kept(bench: Bench) -> None:
    ended = bench.run("print('hello')")
    assert (ended["outcome"], ended["verdict"], ended["exit_code"]) == ("passed", "passed", 0)
    assert bench.log() == b"hello\n"
    assert (ended["log_bytes"], ended["log_omitted_bytes"]) == (6, 0)
    assert [line for event in bench.kinds["output"] for line in event["lines"]] == ["hello"]
    (started,) = bench.kinds["test-started"]
    assert (started["log"], started["gpu_ids"], started["of"]) == ("logs/test_a.py.log", ["3"], 1)


def test_messages_become_events_and_what_is_counted(bench: Bench) -> None:
    program = """
send(type="progress", text="test_a.py::test_a", done=0, total=1)
send(type="case", case="test_a.py::test_a", outcome="passed")
send(type="case", case="test_a.py::test_b", outcome="skipped", message="needs 8 GPUs")
send(type="metric", metric="gsm8k", value=0.9, unit="share", bound={"ok": True, "op": ">", "limit": 0.5})
send(type="weather")
channel.send(b"x" * 65537)
send(type="session", exit_code=0)
"""
    ended = bench.run(program, kind="pytest", metrics=[a_metric("gsm8k")])
    assert (ended["outcome"], ended["cases"]) == ("passed", {"passed": 1, "skipped": 1})
    assert ended["skip_reasons"] == ["needs 8 GPUs"]
    assert [event["case"] for event in bench.kinds["case"]] == ["test_a.py::test_a", "test_a.py::test_b"]
    assert bench.kinds["metric"][0]["value"] == 0.9
    texts = [event["text"] for event in bench.kinds["note"]]
    assert texts[0] == '{"type": "weather"}'
    assert texts[1].startswith("a message of more than 65536 bytes was cut: xxx")
    assert "session" not in bench.kinds
    for events in bench.kinds.values():
        assert all(
            (event["suite"], event["test"], event["attempt"]) == ("suite", "test_a.py", 1) for event in events
        )


def test_a_failed_case_is_evidence(bench: Bench) -> None:
    program = (
        'send(type="case", case="test_a.py::test_a", outcome="failed", message="assert 0", assertion=True)\n'
    )
    ended = bench.run(program + 'send(type="session", exit_code=1)\nsys.exit(1)', kind="pytest")
    assert (ended["outcome"], ended["verdict"]) == ("failed", "product")
    assert ended["evidence"] == ["test_a.py::test_a: assert 0"]


def test_a_file_that_is_too_slow_is_ended_and_its_last_case_does_not_count(bench: Bench) -> None:
    program = """
send(type="progress", text="test_a.py::test_slow")
try:
    time.sleep(60)
except KeyboardInterrupt:
    send(type="case", case="test_a.py::test_slow", outcome="failed", message="KeyboardInterrupt")
"""
    ended = bench.run(program, kind="pytest", timeout_s=2)
    assert (ended["verdict"], ended["cases"]) == ("timeout", {})
    assert ended["evidence"] == [
        "no end within 2 s, the file's time limit; cases ended: 0, failed: 0; running: test_a.py::test_slow"
    ]
    assert ["while it was being ended" in note["text"] for note in bench.kinds["note"]] == [True]


def test_the_suites_deadline_ends_it_too(bench: Bench) -> None:
    ended = bench.run("time.sleep(60)", deadline_s=0.3)
    assert ended["verdict"] == "timeout"
    where, limit = ended["evidence"]
    assert where.startswith("hangs in <module> (")
    assert "the suite's time limit of 120 s expired first" in limit


def test_a_stop_ends_what_ignores_signals(bench: Bench, tmp_path: Path) -> None:
    ignores = tmp_path / "ignores"
    program = f"""
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)
open({str(ignores)!r}, "w").close()
time.sleep(60)
"""

    def stop_it() -> None:
        for _ in wait_for("the program to ignore signals"):
            if ignores.exists():
                break
        bench.stop.request("got SIGTERM")

    ended = bench.run(program, on_start=threading.Thread(target=stop_it).start)
    assert (ended["verdict"], ended["signal"]) == ("cancelled", "SIGKILL")
    assert ended["evidence"] == ["got SIGTERM"]
    assert ended["duration_s"] < 10


def test_what_outlives_the_test_is_named_and_ended(bench: Bench) -> None:
    program = "import subprocess\n"
    program += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(61)'], start_new_session=True)\n"
    program += "print(child.pid, flush=True)\nos._exit(0)\n"
    ended = bench.run(program)
    assert ended["outcome"] == "passed"
    (leftover,) = ended["leftovers"]
    assert leftover["pid"] == int(bench.log().split()[0])
    assert "time.sleep(61)" in leftover["command"]


def test_a_process_that_cannot_be_started_is_infra(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    ended = bench.run("")
    assert (ended["verdict"], ended["exit_code"], ended["signal"]) == ("infra", None, None)
    assert "the test process could not be started" in ended["evidence"][0]
    assert bench.kinds["test-started"][0]["pid"] is None


def test_a_log_that_cannot_be_written_is_a_note_and_evidence(bench: Bench) -> None:
    (bench.run_dir / "logs").write_text("a file")
    ended = bench.run("print('hello')")
    assert ended["outcome"] == "passed"
    assert "the log could not be written" in ended["evidence"][0]
    assert "the log could not be written" in bench.kinds["note"][0]["text"]


def test_the_environment_is_the_agents_the_suites_the_tests_and_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "1")
    ended = bench.run(
        "print(*(os.environ.get(n) for n in ('OF_THE_AGENT', 'A', 'AMD_CI_TEST', 'AMD_CI_SUITE')))",
        env={"A": "2"},
    )
    assert ended["outcome"] == "passed"
    assert bench.log() == b"1 2 test_a.py suite\n"


@pytest.mark.parametrize(
    ("suite", "test", "value"),
    [({}, {}, "yes"), ({"MINE": "suite"}, {}, "suite"), ({}, {"MINE": "test"}, "test")],
)
def test_what_a_set_or_the_user_gives_a_variable_stands_over_what_the_slot_has(
    bench: Bench, suite: dict[str, str], test: dict[str, str], value: str
) -> None:
    bench.run("print(os.environ['MINE'])", suite_env=suite, env=test)
    assert bench.log() == f"{value}\n".encode()


ROLE = {
    "role": "prefill",
    "serves": "engine",
    "model": "m",
    "gpus": 0,
    "args": [],
    "ready": "/alive",
    "ready_s": 20,
    "order": 1,
    "node": 1,
    "ports": {"http": 1},
}


def test_roles_that_cannot_be_started_are_named_with_the_next_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        time.sleep(0.2)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Meeting, "open", full)
    ended = bench.run("", roles=[ROLE])
    assert ended["verdict"] == "infra"
    assert ended["evidence"] == [
        "the roles of suite could not be started: [Errno 28] No space left on device",
        f"next: df -h {bench.run_dir}",
    ]
    assert ended["duration_s"] >= 0.2
    assert len(bench.kinds["test-started"]) == 1


@pytest.mark.parametrize("roles", [[], [ROLE]], ids=["no interpreter", "a role fails"])
def test_the_kernels_messages_explain_a_test_that_did_not_begin_and_later_tests_see_its_verdict(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, roles: list[dict[str, object]]
) -> None:
    if not roles:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(MachineWatch, "end", lambda _: MachineFacts(kernel_log=("amdgpu: GPU reset begin!",)))
    ended = bench.run("", roles=roles)
    assert ended["outcome"] == "failed"
    assert ended["kernel_log"] == ["amdgpu: GPU reset begin!"]
    assert [(each.test, each.verdict) for each in bench.ended] == [("test_a.py", ended["verdict"])]
