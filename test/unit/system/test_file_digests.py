"""Digests of folders: what changes them, what does not, and a cache that is damaged, old, or written by several at once."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.system.file_digests import FileDigests

LATER_NS = 10**10


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "test_x.py").write_text("one")
    (folder / "below" / "data.json").write_text("two")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def digests(cache: Path) -> FileDigests:
    """As after a while: all files have settled."""
    return FileDigests(cache, now_ns=lambda: 2**62)


def hidden(tree: Path) -> None:
    (tree / "conftest.py").write_text("hidden")


def same_size_and_mtime(tree: Path) -> None:
    path = tree / "test_x.py"
    before = path.stat()
    path.write_text("eno")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(tree: Path) -> None:
    """By another file with all times of the first but the inode."""
    path = tree / "test_x.py"
    before = path.stat()
    (tree / "new").write_text("eno")
    os.utime(tree / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tree / "new").replace(path)


def renamed(tree: Path) -> None:
    (tree / "below" / "data.json").rename(tree / "data.json")


def removed(tree: Path) -> None:
    (tree / "below" / "data.json").unlink()


def bytecode_without_source(tree: Path) -> None:
    (tree / "helper.pyc").write_text("x")


def linked_folder(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "conftest.py").write_text("x")
    (tree / "linked").symlink_to(outside)


@pytest.mark.parametrize(
    "change",
    [hidden, same_size_and_mtime, replaced, renamed, removed, bytecode_without_source, linked_folder],
    ids=lambda change: change.__name__,
)
def test_a_change_that_can_decide_a_verdict_is_seen(
    tree: Path, cache: Path, change: Callable[[Path], None]
) -> None:
    before = digests(cache).of_folder(tree)
    assert digests(cache).of_folder(tree) == before
    change(tree)
    after = digests(cache).of_folder(tree)
    assert after != before
    assert after == FileDigests(cache.parent / "fresh").of_folder(tree)


def test_a_change_behind_a_linked_folder_is_seen(tree: Path, cache: Path) -> None:
    linked_folder(tree)
    before = digests(cache).of_folder(tree)
    (tree.parent / "outside" / "conftest.py").write_text("other")
    assert digests(cache).of_folder(tree) != before


def test_bytecode_caches_and_logs_change_nothing(tree: Path, cache: Path) -> None:
    before = digests(cache).of_folder(tree)
    for name in ("__pycache__/x.pyc", ".git/index", ".pytest_cache/v", "test_x.pyc", "below/server.log"):
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert digests(cache).of_folder(tree) == before


def test_links_that_go_round_come_to_an_end(tree: Path, cache: Path) -> None:
    (tree / "below" / "up").symlink_to("..")
    (tree / "twin").symlink_to("below")
    (tree / "gone").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    assert digests(cache).of_folder(tree) == FileDigests(cache.parent / "fresh").of_folder(tree)


def test_a_folder_is_known_after_it_was_renamed(tree: Path, cache: Path) -> None:
    before = digests(cache).of_folder(tree)
    moved = tree.rename(tree.with_name("moved"))
    for path in (moved / "test_x.py", moved / "below" / "data.json"):
        path.chmod(0)  # root reads it anyway, so nothing is said by the mode itself
    kept = [file.read_bytes() for file in cache.iterdir()]
    assert digests(cache).of_folder(moved) == before
    assert len(kept) == len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("at", [0, 10, 100, 150, 250, -20])
def test_a_damaged_cache_is_as_a_missing_one(tree: Path, cache: Path, at: int) -> None:
    before = digests(cache).of_folder(tree)
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert digests(cache).of_folder(tree) == before
    (tree / "below" / "data.json").write_text("three")
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert digests(cache).of_folder(tree) == FileDigests(cache.parent / "fresh").of_folder(tree)


@pytest.mark.parametrize("text", ["", "{}", "a b c d\n{}", "\0" * 300])
def test_what_is_no_cache_is_as_a_missing_one(tree: Path, cache: Path, text: str) -> None:
    before = digests(cache).of_folder(tree)
    (file,) = cache.iterdir()
    file.write_text(text)
    assert digests(cache).of_folder(tree) == before


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert FileDigests(tmp_path / "file" / "cache").of_folder(tree) == digests(tmp_path / "c").of_folder(tree)


def test_a_file_that_changed_just_now_is_read_again(tree: Path, cache: Path) -> None:
    """Its times may be the same after the next write: they count in steps of the file system's clock."""
    path = tree / "test_x.py"
    now_ns = path.stat().st_ctime_ns + 1
    fresh = FileDigests(cache, now_ns=lambda: now_ns)
    before = fresh.of_folder(tree)
    (file,) = cache.iterdir()
    assert b"test_x.py" not in file.read_bytes()
    assert digests(cache).of_folder(tree) == before
    assert b"test_x.py" in file.read_bytes()


def test_writers_at_the_same_time_do_not_disturb_each_other(tree: Path, cache: Path) -> None:
    found: list[str] = []

    def read() -> None:
        found.extend(digests(cache).of_folder(tree) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [file.suffix for file in cache.iterdir()] == [".json"]


def test_only_modules_of_a_folder_itself_count_at_the_top(tree: Path, cache: Path) -> None:
    before = digests(cache).of_modules(tree)
    (tree / "notes.txt").write_text("x")
    (tree / "below" / "conftest.py").write_text("x")
    assert digests(cache).of_modules(tree) == before
    (tree / "conftest.py").write_text("x")
    assert digests(cache).of_modules(tree) != before
