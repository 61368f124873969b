"""A queue that several agents work through: what one of them claims, leaves to others, and says."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci.agent.claims import Claims
from support.agent_process import a_suite, a_test, retry
from support.agent_queue import Script, files, script, work

__all__ = ["script"]

pytestmark = pytest.mark.in_container

LOOK_S = 0.02


def shared(folder: Path, worker: str = "1") -> dict[str, Any]:
    return {"claims": {"folder": str(folder / "queue"), "worker": worker, "look_s": LOOK_S}}


def other(folder: Path, *taken: int) -> Claims:
    """Another agent that has these tests."""
    claims = Claims(folder / "queue", "2")
    assert all(claims.take(place, 1) for place in taken)
    return claims


def close(folder: Path) -> None:
    (folder / "queue" / "closed").touch()


def then_close(folder: Path, last: str) -> Callable[[str], None]:
    """Everything is settled when this test has run."""
    return lambda test: close(folder) if test == last else None


def names(script: Script) -> list[str]:
    return [test for test, _, _ in script.ran]


def test_what_another_agent_has_is_left_to_it_without_a_word(script: Script, tmp_path: Path) -> None:
    other(tmp_path, 0, 2)
    script.during = then_close(tmp_path, "d")
    work(script, tmp_path, a_suite(files(*"abcd")), **shared(tmp_path))
    assert names(script) == ["b", "d"]
    assert script.of("test-not-run") == []
    assert script.of("agent-ended")[0]["reason"] == "done"
    assert Claims(tmp_path / "queue", "3").look().claimed == {(place, 1) for place in range(4)}


def test_the_longest_test_of_all_suites_is_first_also_one_at_a_time(script: Script, tmp_path: Path) -> None:
    script.during = then_close(tmp_path, "c")
    one = a_suite([a_test("a", est_s=5), a_test("c", est_s=1)], id="one")
    work(script, tmp_path, one, a_suite([a_test("b", est_s=9)], id="two"), **shared(tmp_path))
    assert names(script) == ["b", "a", "c"]


def test_a_test_with_roles_on_several_nodes_is_before_longer_tests_that_run_alone(
    script: Script, tmp_path: Path
) -> None:
    def a_role(name: str, order: int, node: int) -> dict[str, object]:
        role = {"role": name, "serves": "engine", "model": "m", "gpus": 0, "args": [], "ready": "/alive"}
        return {**role, "ready_s": 20, "order": order, "node": node, "ports": {"http": 1}}

    script.during = then_close(tmp_path, "long")
    with_roles = a_suite(files("roles"), id="two", roles=[a_role("prefill", 1, 2), a_role("router", 2, 1)])
    work(
        script,
        tmp_path,
        a_suite([a_test("long", est_s=9)], id="one"),
        with_roles,
        node={"number": 1, "host": "127.0.0.1", "start": 0},
        sharing={"alone": ["long"], "variables": []},
        **shared(tmp_path),
    )
    assert names(script) == ["roles", "long"]


def test_an_agent_waits_for_what_a_lost_one_leaves_until_all_is_settled(
    script: Script, tmp_path: Path
) -> None:
    other(tmp_path, 0, 1)
    script.during = then_close(tmp_path, "a")
    given = threading.Timer(0.3, (tmp_path / "queue" / "again" / "0").touch)
    given.start()
    work(script, tmp_path, a_suite(files(*"abc")), **shared(tmp_path))
    given.join()
    assert names(script) == ["c", "a"]
    assert Claims(tmp_path / "queue", "3").look().claimed == {(0, 1), (1, 1), (2, 1), (0, 2)}


def test_a_retry_stays_with_the_agent_that_has_the_test(script: Script, tmp_path: Path) -> None:
    script.verdicts = {"a": ["infra", "passed"]}
    script.during = then_close(tmp_path, "a")  # whoever closes the queue does not end it
    work(
        script,
        tmp_path,
        a_suite(files("a"), attempts=2, retries=[retry("infra", 2)], retry_wait_s=0.2),
        **shared(tmp_path),
    )
    assert [(test, number) for test, number, _ in script.ran] == [("a", 1), ("a", 2)]


def test_nothing_is_claimed_after_a_stop(script: Script, tmp_path: Path) -> None:
    script.during = lambda _test: script.stop.request("got SIGINT")
    work(script, tmp_path, a_suite(files(*"abc")), **shared(tmp_path))
    assert Claims(tmp_path / "queue", "3").look().claimed == {(0, 1)}
    assert script.of("test-not-run") == []
    assert script.of("agent-ended")[0]["reason"] == "cancelled"


def test_a_failure_that_ends_the_run_ends_it_for_every_agent(script: Script, tmp_path: Path) -> None:
    script.verdicts = {"a": ["product"]}
    work(script, tmp_path, a_suite(files(*"ab")), fail_fast=True, **shared(tmp_path))
    assert names(script) == ["a"]
    seen = Claims(tmp_path / "queue", "3").look()
    assert seen.is_fail_fast
    assert seen.claimed == {(0, 1)}
    assert script.of("agent-ended")[0]["reason"] == "fail-fast"


def test_an_agent_ends_after_a_failure_elsewhere(script: Script, tmp_path: Path) -> None:
    elsewhere = other(tmp_path)
    script.during = lambda _test: elsewhere.end_the_run()
    work(script, tmp_path, a_suite(files(*"ab")), fail_fast=True, **shared(tmp_path))
    assert names(script) == ["a"]
    assert script.of("agent-ended")[0]["reason"] == "fail-fast"


def test_what_the_suite_has_no_time_for_is_claimed_to_say_so(script: Script, tmp_path: Path) -> None:
    def ends_late(_test: str) -> None:
        close_later.start()
        threading.Event().wait(0.4)

    close_later = threading.Timer(0.8, close, [tmp_path])
    script.during = ends_late
    other(tmp_path, 1)
    work(script, tmp_path, a_suite(files(*"abc"), timeout_s=0.2), **shared(tmp_path))
    close_later.join()
    assert names(script) == ["a"]
    assert [(event["test"], event["verdict"]) for event in script.of("test-not-run")] == [("c", "timeout")]


@pytest.mark.parametrize("moment", ["first", "later"])
def test_a_folder_that_fails_ends_the_agent_and_says_why(
    script: Script, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fill(_test: str) -> None:
        monkeypatch.setattr(os, "link", refused)

    script.during = fill
    if moment == "first":
        fill("")
    work(script, tmp_path, a_suite(files(*"ab")), **shared(tmp_path))
    monkeypatch.undo()
    assert names(script) == ([] if moment == "first" else ["a"])
    (failed,) = script.of("executor-failed")
    assert failed["what"] == f"cannot claim tests in {tmp_path}/queue: No space left on device"
    assert (failed["cause"], failed["then"]) == ("the disk is full", f"df -h {tmp_path}/queue")
    assert failed["verdict"] == "infra"
    assert script.of("agent-ended")[0]["reason"] == "done"
    claimed = Claims(tmp_path / "queue", "3").look().claimed
    assert claimed == (frozenset() if moment == "first" else {(0, 1)})
    own = sorted(path.name for path in (tmp_path / "queue/by/1").iterdir())
    assert own == ([] if moment == "first" else ["0.1"])


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EIO, "the disk or the network file system failed"),
        (errno.ESTALE, "the folder was removed, or its server was started anew"),
        (errno.ENOLCK, "the folder is missing or not ours, or its file system failed"),
    ],
    ids=["EIO", "ESTALE", "ENOLCK"],
)
def test_a_server_of_nfs_in_trouble_ends_the_agent_with_its_answer(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    work(script, tmp_path, a_suite(files("a")), **shared(tmp_path))
    assert names(script) == []
    (failed,) = script.of("executor-failed")
    assert failed["what"] == f"cannot claim tests in {tmp_path}/queue: {os.strerror(number)}"
    assert (failed["cause"], failed["verdict"]) == (cause, "infra")
    assert script.of("agent-ended")[0]["reason"] == "done"
