"""What was made for the engine: listed with its size, removed by age, never while it is used."""

import mmap
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ci.cli.engines import list_verb, remove_verb
from ci.engine.folders import ENGINES, holding, list_made, remove_made, whole
from ci.errors import InfrastructureError


def quiet(_line: str) -> None:
    pass


def fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * 100_000)


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    engines = tmp_path / "cache" / ENGINES
    with holding(engines, quiet):
        for name in ("base-1", "layer-1"):
            whole(engines / name, fill)
    os.utime(engines / "layer-1" / "ready", (0, 0))
    os.link(engines / "base-1" / "weights", tmp_path / "elsewhere")
    fill(engines / ".making-layer-2")
    return engines


def test_the_list_has_sizes_and_what_is_shared_or_unfinished(engines: Path) -> None:
    unfinished, base, layer = list_made(engines)
    assert not unfinished.finished
    assert base.finished
    assert base.size_bytes > base.shared_bytes >= 100_000
    assert layer.shared_bytes == 0
    assert layer.used == datetime(1970, 1, 1, tzinfo=UTC)


def test_old_and_unfinished_folders_are_removed_and_with_all_every_one(
    engines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"AMD_CI_CACHE": str(engines.parent)}
    remove_verb(environ, everything=False, older_days=30)
    assert [made.folder.name for made in list_made(engines)] == ["base-1"]
    list_verb(environ, as_json=False)
    remove_verb(environ, everything=True, older_days=30)
    assert list_made(engines) == ()
    said = capsys.readouterr().out
    assert "1 made" in said
    assert "uv cache clean" in said


def test_what_a_process_has_loaded_is_not_removed(engines: Path) -> None:
    with (engines / "base-1" / "weights").open("rb") as file:
        loaded = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with pytest.raises(InfrastructureError, match=rf"base-1 by process {os.getpid()}"):
        remove_made(engines, lambda _made: True, tell=quiet)
    assert {made.folder.name for made in list_made(engines)} == {"base-1", "layer-1"}
    loaded.close()
    remove_made(engines, lambda _made: True, tell=quiet)
    assert list_made(engines) == ()


def test_nothing_made_is_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_made(tmp_path / "none", lambda _made: True, tell=quiet) == ()
    assert not (tmp_path / "none").exists()
