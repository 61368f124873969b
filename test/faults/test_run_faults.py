"""A run whose parts are killed, whose disk fills up, whose engine is killed: what is left, what is reported, what stays readable."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.files import (
    ci,
    copy_repository,
    only_tests,
    processes_of,
    registered,
    run_folder,
    send,
    set_limits,
    start_ci,
    token_of,
    wait_for,
)

# A test that has started a child in a session of its own, which ignores what it can, before it hangs.
HANGING = registered(
    """def test_hangs() -> None:
    import subprocess, time
    code = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    print("hanging now", flush=True)
    time.sleep(600)
"""
)
PASSING = registered("def test_passes() -> None:\n    assert True\n", est_time=9)
LOUD = registered(
    "def test_is_loud() -> None:\n    for _ in range(400):\n        print('x' * 100_000, flush=True)\n",
    est_time=3,
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository whose stage a passes one test and then hangs."""
    repository = copy_repository(tmp_path_factory.mktemp("faults") / "repository")
    only_tests(repository, {"amd/test_a_passing.py": PASSING, "amd/test_b_hanging.py": HANGING})
    return repository


def started(copy: Path, runs: Path) -> tuple[subprocess.Popen[bytes], Path, str]:
    """A run that has come to its hanging test; with its folder and token."""
    process = start_ci("run", "stage-a-amd", runs=runs, cwd=copy, out=runs.parent / "out.txt")

    def hanging() -> bool:
        logs = list(runs.glob("2*/logs/*test_b_hanging*.log"))
        return bool(logs) and b"hanging now" in logs[0].read_bytes()

    try:
        wait_for("the hanging test", hanging)
    except AssertionError:
        raise AssertionError((runs.parent / "out.txt").read_text()) from None
    folder = run_folder(runs)
    token = token_of(folder)
    assert len(processes_of(token)) >= 3, "agent, test and its child"
    return process, folder, token


def reports(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} & {"junit.xml", "summary.md", "report.html"}


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGINT, signal.SIGTERM),
    ],
    ids=lambda signals: "+".join(number.name for number in signals),
)
def test_an_interrupted_run_reports_and_leaves_nothing(
    copy: Path, runs: Path, signals: tuple[signal.Signals, ...]
) -> None:
    process, folder, token = started(copy, runs)
    begin = time.monotonic()
    for number in signals:
        send(process, number)
        time.sleep(0.4)
    assert process.wait(timeout=20) == 130
    took_s = time.monotonic() - begin
    assert processes_of(token) == []
    assert reports(folder) == {"junit.xml", "summary.md", "report.html"}
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events[-1]["type"] == "run-ended"
    assert events[-1]["exit_code"] == 130
    outcomes = {event["test"]: event["verdict"] for event in events if event["type"] == "test-ended"}
    assert outcomes["test/registered/amd/test_a_passing.py"] == "passed"
    assert outcomes["test/registered/amd/test_b_hanging.py"] == "cancelled"
    assert took_s < 10, "GitHub kills 10 s after its first signal"
    assert not list((runs / ".live").iterdir())
    assert "stopping, up to 7 s; press Ctrl-C again to kill the tests at once" in said(runs)
    assert "1 passed, 1 cancelled" in (folder / "summary.md").read_text().replace("**", "")
    ended = next(event for event in events if event.get("verdict") == "cancelled")
    assert ended["evidence"][0].startswith("interrupted; running: ")


def said(runs: Path) -> str:
    return (runs.parent / "out.txt").read_text()


def test_a_second_press_kills_the_tests_at_once(copy: Path, runs: Path) -> None:
    process, folder, token = started(copy, runs)
    send(process, signal.SIGINT)
    wait_for("the first answer", lambda: "stopping, up to 7 s" in said(runs), timeout_s=6)
    time.sleep(0.4)  # sooner, it would be the same press
    assert processes_of(token), "the first press has ended the tests"
    begin = time.monotonic()
    send(process, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert time.monotonic() - begin < 4
    assert processes_of(token) == []
    assert "killing the tests" in said(runs)
    assert reports(folder) == {"junit.xml", "summary.md", "report.html"}
    assert "1 passed, 1 cancelled" in (folder / "summary.md").read_text().replace("**", "")


def test_after_sigkill_of_the_runner_nothing_is_left_within_five_seconds(copy: Path, runs: Path) -> None:
    process, folder, token = started(copy, runs)
    send(process, signal.SIGKILL)
    process.wait()
    wait_for("the end of everything", lambda: not processes_of(token), timeout_s=5)
    # the record stays readable: whole lines up to the kill
    lines = (folder / "events.jsonl").read_text().splitlines()
    assert next(json.loads(line)["type"] for line in lines) == "run-started"
    assert len(list((runs / ".live").iterdir())) == 1
    ended = ci("run", "stage-a-amd", "--test", "test_a_passing.py", runs=runs, cwd=copy)
    assert ended.code == 0, ended.text
    assert not list((runs / ".live").iterdir()), "the next start takes the dead run's note away"


def test_the_next_start_sweeps_what_a_killed_runner_and_its_killed_agent_left(copy: Path, runs: Path) -> None:
    process, _, token = started(copy, runs)
    agent = agent_pid(process.pid)
    # both at once, so that neither can clean up after the other
    os.kill(agent, signal.SIGSTOP)
    send(process, signal.SIGKILL)
    process.wait()
    os.kill(agent, signal.SIGKILL)
    time.sleep(0.5)
    left = processes_of(token)
    assert left, "the setsid child survives both"
    ended = ci("run", "stage-a-amd", "--test", "test_a_passing.py", runs=runs, cwd=copy)
    assert ended.code == 0
    assert "killed process" in ended.err
    assert processes_of(token) == []


def test_a_killed_agent_is_infrastructure_and_leaves_nothing(copy: Path, runs: Path) -> None:
    process, folder, token = started(copy, runs)
    os.kill(agent_pid(process.pid), signal.SIGKILL)
    assert process.wait(timeout=20) == 4
    assert processes_of(token) == []
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (failed,) = [event for event in events if event["type"] == "executor-failed"]
    assert "signal 9" in failed["cause"]
    assert reports(folder) == {"junit.xml", "summary.md", "report.html"}


def test_a_stopped_agent_is_killed_when_it_does_not_end(copy: Path, runs: Path) -> None:
    process, _, token = started(copy, runs)
    os.kill(agent_pid(process.pid), signal.SIGSTOP)
    begin = time.monotonic()
    send(process, signal.SIGTERM)
    assert process.wait(timeout=20) == 130
    assert time.monotonic() - begin < 10
    assert processes_of(token) == []


def agent_pid(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (pid,) = [int(pid) for pid in children if b"agent.pyz" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return pid


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_exit_4_and_what_was_recorded_stays_readable(tmp_path: Path, small_disk: Path) -> None:
    repository = copy_repository(tmp_path / "repository")
    only_tests(repository, {"amd/test_a_passing.py": PASSING, "amd/test_b_loud.py": LOUD})
    ended = ci("run", "stage-a-amd", runs=small_disk / "runs", cwd=repository)
    assert ended.code == 4, ended.text
    assert "Traceback" not in ended.text
    assert re.search(r"No space left on device|disk is full", ended.text)
    events = [
        json.loads(line)
        for line in (run_folder(small_disk / "runs") / "events.jsonl").read_text().splitlines()
    ]
    passed = [event for event in events if event["type"] == "test-ended" and event["outcome"] == "passed"]
    # the disk is full in the middle of the other one, whose last line may still have room in a page that is begun
    kept = "test/registered/amd/test_a_passing.py"
    assert [event["test"] for event in passed] in ([kept], [kept, "test/registered/amd/test_b_loud.py"])


def test_a_run_folder_that_can_t_be_made_is_exit_4_before_anything_starts(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = ci("run", "stage-a-amd", runs=tmp_path / "file" / "runs", cwd=copy)
    assert ended.code == 4
    assert "AMD_CI_RUNS=DIR" in ended.err


def test_a_hanging_test_gets_its_verdict_and_the_rest_goes_on(tmp_path: Path, runs: Path) -> None:
    repository = copy_repository(tmp_path / "repository")
    late = registered("def test_late() -> None:\n    assert True\n", est_time=1)
    only_tests(repository, {"amd/test_b_hanging.py": HANGING, "amd/test_c_late.py": late})
    set_limits(repository, {"agent.int_grace_s": 0.3, "agent.term_grace_s": 0.3})
    # time for the test that passes to start on a busy machine
    stages = repository / "ci/catalog/stages.toml"
    stages.write_text(stages.read_text().replace("timeout_per_file_s = 1200", "timeout_per_file_s = 12", 1))
    ended = ci("run", "stage-a-amd", "--json", runs=runs, cwd=repository)
    assert ended.code == 5, ended.text
    verdicts = {event["test"]: event["verdict"] for event in ended.events() if event["type"] == "test-ended"}
    assert verdicts == {
        "test/registered/amd/test_b_hanging.py": "timeout",
        "test/registered/amd/test_c_late.py": "passed",
    }


def test_an_interpreter_without_the_engine_is_exit_4_with_the_next_command(copy: Path, runs: Path) -> None:
    bare = Path(sys.base_prefix) / "bin" / "python3"
    ended = ci("run", "stage-a-amd", "--python", str(bare), runs=runs, cwd=copy)
    assert ended.code == 4
    assert "no package 'xllamacpp'" in ended.err
    assert "-m pip list" in ended.err


@pytest.mark.engine
def test_an_engine_that_is_killed_during_an_evaluation_fails_the_test_with_its_log(runs: Path) -> None:
    process = start_ci(
        "run", "stage-a-amd", "--test", "amd/test_gsm8k_sample.py", runs=runs, out=runs.parent / "out.txt"
    )

    def engine() -> list[int]:
        record = next(iter(runs.glob("2*/events.jsonl")), None)
        if record is None or '"progress"' not in record.read_text():
            return []
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and is_engine(entry, token_of(run_folder(runs)))
        ]

    time.sleep(1)
    pids = wait_for("the engine", engine)
    wait_for("an answered question", lambda: "answered" in (run_folder(runs) / "events.jsonl").read_text())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=60) == 4, (runs.parent / "out.txt").read_text()
    out = (runs.parent / "out.txt").read_text()
    assert "SIGKILL" in out
    events = [json.loads(line) for line in (run_folder(runs) / "events.jsonl").read_text().splitlines()]
    (ended,) = [event for event in events if event["type"] == "test-ended"]
    assert ended["verdict"] == "infra"
    details = "".join(event.get("details", "") for event in events if event["type"] == "case")
    assert "server is listening" in details or "main: " in details or "srv" in details, "the engine's own log"
    assert processes_of(token_of(run_folder(runs))) == []


def is_engine(entry: Path, token: str) -> bool:
    try:
        return (
            b"llamacpp_server" in (entry / "cmdline").read_bytes()
            and token.encode() in (entry / "environ").read_bytes()
        )
    except OSError:
        return False
