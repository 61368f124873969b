"""What was read of a checkout before is taken again as long as nothing has changed."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.registrations.parse import Discovery, discover
from ci.facts.tree import kept
from ci.facts.tree.gather import gather_tree
from support.catalog_files import catalog
from support.workflow_trees import GATE, registered, write_workflow_tree

FIRST = "test/registered/x/test_first.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_workflow_tree(tmp_path / "tree")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fresh(tree: Path) -> Discovery:
    return discover(tree, catalog().discovery, layout="sglang", backends=("amd",))


def found(tree: Path, folder: Path) -> Discovery:
    return kept.discover_kept(tree, catalog().discovery, folder, backends=("amd",))


def forbid_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object, **__: object) -> Discovery:
        raise AssertionError("the tree was parsed again")

    monkeypatch.setattr(kept, "discover", parse)


def test_the_second_time_is_the_same_and_nothing_is_parsed(
    tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = found(tree, folder)
    assert first == fresh(tree)
    forbid_parsing(monkeypatch)
    assert found(tree, folder) == first


def test_a_change_of_the_same_size_and_time_is_seen(tree: Path, folder: Path) -> None:
    found(tree, folder)
    path = tree / FIRST
    before = path.stat()
    path.write_text(registered('amd(est_time=99, suite="one-amd")'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (row,) = [row for row in found(tree, folder).registrations if row.file == FIRST]
    assert row.est_time_s == 99


def test_what_changes_while_it_is_read_is_not_kept(
    tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (tree / FIRST).read_text()

    def read_too_late(*arguments: Any, **options: Any) -> Discovery:
        (tree / FIRST).write_text(registered('amd(est_time=99, suite="one-amd")'))
        return discover(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(kept, "discover", read_too_late)
        found(tree, folder)
    (tree / FIRST).write_text(text)
    assert found(tree, folder) == fresh(tree)


def test_a_new_and_a_removed_file_are_seen(tree: Path, folder: Path) -> None:
    found(tree, folder)
    (tree / "test/registered/x/test_new.py").write_text(registered('amd(est_time=1, suite="one-amd")'))
    (tree / FIRST).unlink()
    assert found(tree, folder) == fresh(tree)


def test_a_damaged_cache_and_one_that_cannot_be_written_are_no_failure(tree: Path, folder: Path) -> None:
    found(tree, folder)
    for path in (folder / "trees").iterdir():
        path.write_text('{"registrations": "')
    assert found(tree, folder) == fresh(tree)
    blocked = folder.parent / "file"
    blocked.write_text("")
    assert found(tree, blocked) == fresh(tree)


def test_several_writers_at_once_leave_whole_values(tree: Path, folder: Path) -> None:
    expected = fresh(tree)
    wrong: list[Discovery] = []

    def look() -> None:
        wrong.extend(each for _ in range(5) if (each := found(tree, folder)) != expected)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [path.name for path in (folder / "trees").iterdir() if path.name.startswith(".")] == []


def test_facts_of_a_tree_are_kept_by_content(
    tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = catalog().hardware
    first = kept.gather_kept(tree, hardware, folder)
    assert first == gather_tree(tree, hardware)
    text = (tree / GATE).read_text()
    (tree / GATE).write_text(text.replace("timeout-per-file 900", "timeout-per-file 800"))
    second = kept.gather_kept(tree, hardware, folder)
    assert second == gather_tree(tree, hardware) != first
    (tree / GATE).write_text(text)
    monkeypatch.setattr(kept, "gather_tree", lambda *_: pytest.fail("the tree was read again"))
    assert kept.gather_kept(tree, hardware, folder) == first
