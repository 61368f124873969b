"""What was made is compared with what was written down when it was made."""

from pathlib import Path

from ci.engine.folders import changed_files, note_use, whole


def made(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "engines" / "base-1"

    def make(unfinished: Path) -> None:
        (unfinished / "lib").mkdir(parents=True)
        (unfinished / "lib" / "libtorch.so").write_bytes(b"\x7fELF")
        (unfinished / "model.safetensors").write_bytes(b"weights")

    whole(folder, make)
    return folder


def test_nothing_has_changed_after_it_was_made_and_used(tmp_path: Path) -> None:
    folder = made(tmp_path)
    note_use(folder)
    (folder / "lib" / "__pycache__").mkdir()
    (folder / "lib" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert changed_files(folder) == {}


def test_a_swapped_a_removed_and_an_added_file_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "lib" / "libtorch.so").write_bytes(b"other")
    (folder / "model.safetensors").unlink()
    (folder / "sitecustomize.py").write_text("x")
    found = changed_files(folder)
    assert found is not None
    assert list(found) == ["lib/libtorch.so", "model.safetensors", "sitecustomize.py"]
    assert found["model.safetensors"] == ""


def test_of_what_was_made_before_files_were_written_down_nothing_is_known(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "ready").write_text('{"made": "2026-01-01", "name": "base-1"}\n')
    assert changed_files(folder) is None
