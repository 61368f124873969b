"""A process that can be told apart from a later one with its pid."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ci.system import process_identity
from ci.system.process_identity import Owner, owner_of_self


def test_we_are_alive_and_nobody_else_is_us() -> None:
    me = owner_of_self()
    assert me.pid == os.getpid()
    assert me.alive
    assert not replace(me, start_ticks=me.start_ticks + 1).alive, "a later process with our pid"
    assert not replace(me, boot_id="another boot").alive
    assert not replace(me, pid=2**22 + 1).alive, "no such process"


@pytest.mark.parametrize("command", ["python3", "a b", "a) S 1 (b", "))"])
def test_the_start_is_field_22_whatever_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(str(number) for number in range(3, 53))
    (tmp_path / "7/stat").write_text(f"7 ({command}) {fields}\n")
    monkeypatch.setattr(process_identity, "_PROC", tmp_path)
    assert Owner(pid=7, start_ticks=22, boot_id="unknown").alive
