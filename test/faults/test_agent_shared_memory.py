"""Shared memory of processes that were killed."""

import secrets
from pathlib import Path

import pytest

from support.agent_process import QUICK, AgentProcess, a_suite, wait_for

SHM = Path("/dev/shm")

# Maps a new segment, waits until the agent has seen it, and ends without removing it.
TEST = """
import mmap, os, signal, time
def make(name):
    fd = os.open("/dev/shm/" + name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.ftruncate(fd, 4096)
    mapped = mmap.mmap(fd, 4096)
    os.close(fd)
    return mapped
def test_a():
    mapped = make({name!r})
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def name() -> str:
    return f"psm_{secrets.token_hex(4)}"


def test_what_a_killed_test_leaves_is_removed_and_named(agent: AgentProcess, name: str) -> None:
    agent.run(a_suite([agent.write("test_a.py", TEST.format(name=name))]), limits=QUICK)
    assert not (SHM / name).exists()
    assert agent.ended("test_a.py")["leftovers"] == [{"pid": 0, "command": "", "path": f"/dev/shm/{name}"}]


def test_what_a_killed_server_leaves_too(agent: AgentProcess, name: str) -> None:
    text = TEST.format(name=name).replace("test_a", "serve").replace("0.5", "60")
    text += f"""
def test_b():
    if os.fork() == 0:
        os.setsid()
        serve()
    while not os.path.exists("/dev/shm/" + {name!r}):
        time.sleep(0.01)
    time.sleep(0.3)
    os._exit(0)
"""
    agent.run(a_suite([agent.write("test_a.py", text)]), limits=QUICK)
    assert not (SHM / name).exists()
    process, memory = agent.ended("test_a.py")["leftovers"]
    assert process["pid"] > 0
    assert memory["path"] == f"/dev/shm/{name}"


def test_what_others_made_stays(agent: AgentProcess, name: str) -> None:
    """Of the same user and with a known prefix; it appears while the test runs, and nobody has it open."""
    text = """
import time
def test_a():
    open("ready", "w").close()
    time.sleep(0.5)
"""
    agent.start(a_suite([agent.write("test_a.py", text)]), limits=QUICK)
    try:
        for _ in wait_for("the test to be ready"):
            if (agent.root / "ready").exists():
                break
        (SHM / name).write_bytes(b"x")
        agent.wait()
        assert (SHM / name).exists()
        assert agent.ended("test_a.py")["leftovers"] == []
    finally:
        (SHM / name).unlink(missing_ok=True)


def test_what_a_living_process_still_has_stays(agent: AgentProcess, name: str) -> None:
    text = TEST.format(name=name)
    agent.start(a_suite([agent.write("test_a.py", text)]), limits=QUICK)
    try:
        for _ in wait_for("the name to appear"):
            if (SHM / name).exists():
                break
        with (SHM / name).open("rb"):
            agent.wait()
            assert (SHM / name).exists()
    finally:
        (SHM / name).unlink(missing_ok=True)


def test_a_name_of_no_row_stays(agent: AgentProcess) -> None:
    name = f"mine_{secrets.token_hex(4)}"
    agent.run(a_suite([agent.write("test_a.py", TEST.format(name=name))]), limits=QUICK)
    assert (SHM / name).exists()
    (SHM / name).unlink()
