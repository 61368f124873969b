"""The end of ours while a Dockerfile is built: docker's client ends with us. A double of it hangs; no engine is asked."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.files import REPOSITORY, child_env, git, processes_of, wait_for
from support.machines import MI300X, rocminfo

TREE = REPOSITORY / "test/data/sglang_tree"

DOCKER = """#!/bin/sh
case "$*" in
*version*) exit 0 ;;
*build*) echo "#5 [1/2] RUN something"; touch "$STARTED"; exec sleep 600 ;;
esac
exit 1
"""
# The command line on a machine with a render node, which this one has not.
WITH_A_RENDER_NODE = """
import ci.facts.gather
from ci.cli.main import main

ci.facts.gather.count_render_nodes = lambda: 1
raise SystemExit(main())
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    subprocess.run(["cp", "-R", str(TREE), str(tree)], check=True)
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "tree")
    return tree


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [
        ("inv", signal.SIGTERM, 4),
        ("inv", signal.SIGKILL, -9),
        ("stage", signal.SIGTERM, 130),
        ("stage", signal.SIGKILL, -9),
    ],
)
def test_no_build_is_left(
    verb: str,
    number: signal.Signals,
    code: int,
    checkout: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[bytes]],
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    # a double of the tool that names GPUs, of which this machine has none: a plan without them selects no test
    (programs / "gpus.txt").write_text(rocminfo((MI300X, "AMD Instinct MI300X", 192.0)))
    (programs / "rocminfo").write_text(f"#!/bin/sh\nexec cat '{programs}/gpus.txt'\n")
    for program in ("docker", "rocminfo"):
        (programs / program).chmod(0o755)
    mark = tmp_path / "started"
    env = child_env(tmp_path / "runs") | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "AMD_CI_RUNNER_LABEL": "linux-mi300-1gpu-sglang",
        "STARTED": str(mark),
    }
    tree = str(checkout)
    argv = {
        "inv": ["tasks.py", "image.build", "--checkout", tree, "--family", "mi30x", "--rocm", "700"],
        "stage": [
            *("-c", WITH_A_RENDER_NODE, "run", "stage-a-amd", "--executor", "docker"),
            *("--checkout", tree, "--from-dockerfile"),
        ],
    }[verb]
    with (tmp_path / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=REPOSITORY,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    started.append(process)

    def begun() -> bool:
        assert process.poll() is None, (tmp_path / "out.txt").read_text()
        return mark.exists()

    wait_for("the build", begun, 30)
    process.send_signal(number)
    assert process.wait(20) == code, (tmp_path / "out.txt").read_text()
    wait_for("an end of docker's client", lambda: not processes_of(str(mark)), 10)
    assert "Traceback" not in (tmp_path / "out.txt").read_text()
