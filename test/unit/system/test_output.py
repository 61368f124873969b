"""Printing to what does not take it: a reader that left, a full disk, a closed descriptor, a pipe that does not block."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).parents[3]

# Prints more than a pipe holds, then does what has to be done although nobody reads.
PROGRAM = """
import subprocess, sys
from pathlib import Path
from ci.system.output import finish, outlive_readers
outlets = outlive_readers()
for number in range(20_000):
    print("line", number)
sys.stdout.flush()
code = subprocess.call([sys.executable, "-c", "print('a child')"])
lost = finish(outlets)
Path(sys.argv[1]).write_text(f"{code} {lost!r}")
"""


def start(done: Path, **streams: int | None) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(done)], env=environ, **streams)  # type: ignore[call-overload,no-any-return]


def test_a_reader_that_leaves_ends_the_printing_alone(tmp_path: Path) -> None:
    with start(tmp_path / "done", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line 0\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 0)
    assert (tmp_path / "done").read_text() == "0 ''"


def test_output_that_a_full_disk_did_not_take_is_known(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(tmp_path / "done", stdout=full.fileno())
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "done").read_text() == "0 'No space left on device'"


def test_a_closed_descriptor_leads_nowhere(tmp_path: Path) -> None:
    command = 'exec "$0" -c "$1" "$2" >&- 2>&- <&-'
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    argv = ["sh", "-c", command, sys.executable, PROGRAM, str(tmp_path / "done")]
    assert subprocess.run(argv, env=environ, check=False, timeout=60).returncode == 0
    assert (tmp_path / "done").read_text() == "0 ''"


def test_a_pipe_that_does_not_block_gets_every_line(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = start(tmp_path / "done", stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert process.wait(timeout=60) == 0
    assert (len(lines), lines[-2:]) == (20_001, [b"line 19999", b"a child"])


@pytest.mark.parametrize("command", [("run", "stage-a-amd", "--list"), ("envs", "show")])
def test_a_command_whose_output_is_lost_is_not_ok(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ci", *command],
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 4
    assert b"not all output could be written: No space left on device" in done.stderr
