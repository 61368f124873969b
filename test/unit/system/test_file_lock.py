"""Locks on files: one holder at a time, and who waits knows for whom."""

import threading
from pathlib import Path

import pytest

from ci.errors import InfrastructureError
from ci.system.file_lock import FileLock, held, wait_for_release


def test_one_at_a_time_has_it(tmp_path: Path) -> None:
    first, second = FileLock(), FileLock()
    path = tmp_path / "new" / "lock"
    assert first.take(path)
    assert (second.take(path), first.taken, second.taken) == (False, True, False)
    first.release()
    assert second.take(path)
    second.release()
    second.release()


def test_a_waiting_process_says_once_for_whom_and_gets_it_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = FileLock()
    assert other.take(path, {"run": "the first"})
    owners: list[str] = []
    pauses: list[None] = []

    def pause() -> None:
        pauses.append(None)
        if len(pauses) == 3:
            other.release()

    with held(path, {"run": "the second"}, on_wait=owners.append, pause=pause) as waited:
        assert waited
        assert "the second" in path.read_text()
    assert len(pauses) == 3
    assert len(owners) == 1
    assert owners[0].endswith("run the first")
    with held(path, {}, on_wait=owners.append, pause=pause) as waited:
        assert not waited


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_holder_that_wrote_nothing_yet(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    other = FileLock()
    assert other.take(path)
    path.write_text(content)
    owners: list[str] = []
    with held(path, {}, on_wait=owners.append, pause=other.release):
        assert owners == ["a process that has just started"]


def test_giving_up_while_waiting_leaves_it_to_the_other(tmp_path: Path) -> None:
    other, third = FileLock(), FileLock()
    assert other.take(tmp_path / "lock")

    def give_up() -> None:
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        held(tmp_path / "lock", {}, on_wait=lambda _words: None, pause=give_up),
    ):
        pytest.fail("it was held by another")
    assert not third.take(tmp_path / "lock")
    other.release()


def test_its_release_is_waited_for(tmp_path: Path) -> None:
    wait_for_release(tmp_path / "none")
    lock, released = FileLock(), threading.Event()
    assert lock.take(tmp_path / "lock")

    def wait() -> None:
        wait_for_release(tmp_path / "lock")
        released.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not released.is_set()
    lock.release()
    waiter.join(10)
    assert released.is_set()


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match=r"cannot write .*lock"):
        FileLock().take(tmp_path / "file" / "lock")
