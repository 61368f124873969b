"""Agents that share a queue, as processes: every test once, whatever becomes of one of them and of the folder."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.agent_process import QUICK, AgentProcess, Event, a_suite, wait_for
from support.full_disk import file_system

LOOK_S = 0.1


def scripts(agent: AgentProcess, count: int, *, seconds: float = 0.05) -> list[dict[str, object]]:
    """Tests that wait, in an order that is not that of their estimates."""
    made = []
    for number in range(count):
        test = agent.write(f"test_{number}.py", f"import time; time.sleep({seconds})")
        made.append({**test, "kind": "script", "est_s": (number * 7) % count})
    return made


def shared(folder: Path, worker: str, **more: Any) -> dict[str, Any]:
    return {
        "claims": {"folder": str(folder), "worker": worker, "look_s": LOOK_S},
        "limits": QUICK,
        "jobs": 2,
        **more,
    }


def ran(*agents: AgentProcess) -> list[Event]:
    return [event for agent in agents for event in agent.of("test-started")]


def close_when(nodes: tuple[AgentProcess, AgentProcess], queue: Path, ends: int) -> None:
    """Close the queue as soon as so many tests have ended."""
    for _ in wait_for(f"the end of {ends} tests", seconds=90):
        if sum(len(agent.of("test-ended")) for agent in nodes) >= ends:
            (queue / "closed").touch()
            return


def test_two_agents_run_each_of_forty_tests_once_and_the_longest_first(
    nodes: tuple[AgentProcess, AgentProcess], tmp_path: Path
) -> None:
    one, two = nodes
    suite = a_suite(scripts(one, 40))
    queue = tmp_path / "queue"
    one.start(suite, **shared(queue, "1"))
    two.start(suite, **shared(queue, "2"))
    close_when(nodes, queue, 40)
    one.wait(30)
    two.wait(30)
    assert Counter(event["test"] for event in ran(one, two)) == Counter(
        f"test_{number}.py" for number in range(40)
    )
    for agent in nodes:
        assert len(agent.of("test-ended")) >= 1
        assert agent.of("agent-ended")[0]["reason"] == "done"
        estimates = [event["est_s"] for event in agent.of("test-started")]
        longest_first = sorted(estimates, reverse=True)
        # two start at a time, and either may be the first to say so
        assert all(abs(estimates.index(each) - longest_first.index(each)) <= 1 for each in estimates)


def test_what_a_killed_agent_had_is_run_once_more_and_nothing_else_is(
    nodes: tuple[AgentProcess, AgentProcess], tmp_path: Path
) -> None:
    one, two = nodes
    tests = scripts(one, 12, seconds=0.4)
    suite = a_suite(tests)
    queue = tmp_path / "queue"
    one.start(suite, **shared(queue, "1"))
    two.start(suite, **shared(queue, "2"))
    for _ in wait_for("a test of each that has ended, and one that has not"):
        if two.of("test-ended") and one.of("test-ended") and len(ran(one)) > len(one.of("test-ended")):
            break
    os.kill(one.process.pid, signal.SIGKILL)
    one.wait(30)
    settled = {event["test"] for event in one.of("test-ended")}
    places = {test["id"]: place for place, test in enumerate(tests)}
    mine = [path for path in (queue / "by" / "1").iterdir() if path.stat().st_nlink == 2]
    left = {path.name.partition(".")[0] for path in mine} - {str(places[test]) for test in settled}
    assert left
    for place in left:
        (queue / "again" / place).touch()
    close_when(nodes, queue, 12)
    two.wait(60)
    ends = Counter(event["test"] for agent in nodes for event in agent.of("test-ended"))
    assert ends == Counter(f"test_{number}.py" for number in range(12))
    twice = {test for test, count in Counter(event["test"] for event in ran(one, two)).items() if count > 1}
    assert {str(places[test]) for test in twice} <= left


@pytest.mark.parametrize("option", ["nr_inodes=14", "ro"])
def test_a_folder_that_takes_no_claim_ends_the_agent_when_its_tests_are_over(
    agent: AgentProcess, tmp_path: Path, option: str
) -> None:
    with file_system(tmp_path / "shared", "size=1m", option) as queue:
        agent.run(a_suite(scripts(agent, 12, seconds=0.01)), **shared(queue, "1"))
        (failed,) = agent.of("executor-failed")
        words = {"ro": ("Read-only file system", "read-only"), "nr_inodes=14": ("No space left", "full")}
        says, cause = words[option]
        assert f"cannot claim tests in {queue}: {says}" in failed["what"]
        assert cause in failed["cause"]
        assert (failed["then"], failed["verdict"]) == (f"df -h {queue}", "infra")
        assert agent.of("agent-ended")[0]["reason"] == "done"
        claims = list((queue / "claims").iterdir()) if option != "ro" else []
        assert len(agent.of("test-ended")) == len(ran(agent)) == len(claims)
        assert (option == "ro") is not bool(claims)


def test_the_end_of_input_ends_an_agent_that_waits_for_others(agent: AgentProcess, tmp_path: Path) -> None:
    agent.start(a_suite(scripts(agent, 1)), **shared(tmp_path / "queue", "1"))
    for _ in wait_for("the test"):
        if agent.of("test-ended"):
            break
    assert agent.process.poll() is None
    agent.close_stdin()
    agent.wait(10)
    assert agent.of("agent-ended")[0]["reason"] == "cancelled"
    assert agent.of("test-not-run") == []
