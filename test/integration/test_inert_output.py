"""The real Nox and the real act: a run whose tests, names and values are full of workflow commands gives none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.actions_runner import strict_commands
from support.files import REPOSITORY, child_env, only_tests, registered
from support.replay import clone_with_base

TALK = (
    "::set-output name=a::b",
    "  ::add-path::/evil",
    "::set-env name=A::b",
    "::add-mask::product",
    "::stop-commands::x",
    "##[error]x",
    "y ##[group]x",
)
TALKER = '''
import os
import sys

import pytest

TALK = """
{talk}
"""

@pytest.mark.parametrize("name", [TALK])
def test_talks(name: str) -> None:
    print(TALK)
    print(TALK, file=sys.stderr)
    os.write(1, TALK.encode())
    assert not [name for name in os.environ if name.startswith("GITHUB_")]
    raise AssertionError(TALK)
'''
# as a step of a job has it: the shell's own quotes hold the line break
STEP = """on: push
jobs:
  talk:
    runs-on: ubuntu-latest
    steps:
      - name: raw
        run: printf '%s\\n' "$TALK"
      - uses: actions/checkout@v4
      - name: ours
        shell: bash
        run: exec "$PYTHON" -m nox --envdir "$ENVDIR" -s stage_a_amd -- --hardware cpu --executor host --env "A=$TALK"
"""
OURS = {"add-mask", "debug", "endgroup", "error", "group", "notice", "warning"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = clone_with_base(tmp_path_factory.mktemp("talk") / "clone")
    only_tests(root, {"a/test_talk.py": registered(TALKER.replace("{talk}", "\n".join(TALK)))})
    (root / ".github/workflows/talk.yml").write_text(STEP)
    return root


def test_act_obeys_a_raw_line_and_nothing_of_a_run(root: Path, tmp_path: Path) -> None:
    act = Path(sys.executable).with_name("act")
    done = subprocess.run(
        [act, "push", "-W", ".github/workflows/talk.yml", "--json", "--no-cache-server", "-P", "ubuntu-latest=-self-hosted"],
        cwd=root,
        env={
            **child_env(tmp_path / "runs", {"TALK": "\n".join(TALK)}),
            "HOME": str(tmp_path),
            "UV_CACHE_DIR": str(Path.home() / ".cache/uv"),
            "PYTHON": sys.executable,
            "ENVDIR": str(REPOSITORY / ".nox"),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    obeyed = {(line["step"], line["command"]) for line in lines if "command" in line}
    assert {("raw", "set-output"), ("raw", "set-env"), ("raw", "add-mask")} <= obeyed
    printed = "".join(line["msg"] for line in lines if line.get("raw_output") and line["step"] == "ours")
    assert ": :add-path::/evil" in printed, "the plan in its group has the value of --env"
    assert "1 failed" in printed, printed
    # `summary` is what act calls the file of the job's summary
    assert {command for step, command in obeyed if step == "ours"} <= {*OURS, "summary"} - {"add-mask"}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_runner_finds_our_own_commands_alone(root: Path, tmp_path: Path, *, as_json: bool) -> None:
    summary = tmp_path / "summary.md"
    env = child_env(tmp_path / "runs", {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    talk = "\n".join(TALK)
    nox = [sys.executable, "-m", "nox", "--envdir", str(REPOSITORY / ".nox"), "-s", "stage_a_amd", "--"]
    options = ["--hardware", "cpu", "--executor", "host", "--env", f"A={talk}"]
    done = subprocess.run(
        [*nox, *options, *(["--json"] if as_json else [])],
        cwd=root,
        env={**env, "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "add-path" in done.stdout
    found = strict_commands(done.stdout) + strict_commands(done.stderr)
    assert {command.name for command in found} <= OURS, found
    assert [command.line for command in found if "evil" in command.line and command.name != "error"] == []
