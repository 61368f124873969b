"""Locks on files: one holder at a time, and who waits knows for whom."""

import errno
import fcntl
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from ci.errors import InfrastructureError
from ci.system.file_lock import FileLock, cache_dir, held, wait_for_release


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
    assert not released.wait(0.2)
    lock.release()
    waiter.join(10)
    assert released.is_set()


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match=r"cannot write .*lock"):
        FileLock().take(tmp_path / "file" / "lock")


def test_what_was_written_by_the_one_before_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock()
    for run in ("a long name of a run", "short"):
        assert lock.take(path, {"run": run})
        assert lock.taken
        lock.release()
    assert json.loads(path.read_text()) == {"pid": os.getpid(), "run": "short"}


def test_the_folder_of_a_lock_is_this_users_alone(tmp_path: Path) -> None:
    lock = FileLock()
    assert lock.take(tmp_path / "new" / "lock")
    lock.release()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"AMD_CI_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/sglang-amd-ci"),
        ({"HOME": "/h"}, "/h/.cache/sglang-amd-ci"),
    ],
)
def test_the_cache_is_the_one_that_is_named_else_the_users(environ: dict[str, str], folder: str) -> None:
    assert cache_dir(environ) == Path(folder)


def test_a_cache_by_a_relative_name_is_below_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cache_dir({"AMD_CI_CACHE": "c"}) == tmp_path / "c"
    assert cache_dir({}).is_absolute()


def test_a_file_system_without_locks_is_one_error_with_its_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_file: object, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(InfrastructureError, match=r"cannot lock .*lock: No locks available") as raised:
        FileLock().take(tmp_path / "lock")
    assert "`shared`" in raised.value.then
