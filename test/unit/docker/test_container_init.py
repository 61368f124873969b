"""The main process of a container: it ends with the run that made it, or when its time has expired."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.docker import container_init
from ci.docker.container_init import TIME_IS_OVER
from support.measured import measured_environ

pytestmark = [pytest.mark.in_container, pytest.mark.processes]

PROGRAM = Path(container_init.__file__)


def started(seconds: str, mode: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, str(PROGRAM), seconds, mode]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, env={**os.environ, **measured_environ()})


def test_the_end_of_standard_input_ends_a_held_one() -> None:
    with started("600", "held") as process:
        assert process.stdin is not None
        process.stdin.write(b"what comes is not the end")
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("mode", ["held", "kept"])
def test_the_time_ends_both(mode: str) -> None:
    with started("0.1", mode) as process:
        assert process.wait() == TIME_IS_OVER


def test_a_kept_one_does_not_end_with_its_standard_input() -> None:
    with started("0.3", "kept") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == TIME_IS_OVER
