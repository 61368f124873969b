"""The rendered expression that keeps secrets from forks, evaluated by act for the events that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import REPOSITORY, git

STAGE = REPOSITORY / ".github/workflows/amd-stage.yml"
OURS = "sglang/amd-ci"
CANARY = "canary-of-nine-words"


def pull_request(head: str | None) -> str:
    """The event of a pull request from a repository; None: the fork was deleted meanwhile."""
    repository = {"full_name": head} if head else None
    request = {"number": 1, "head": {"ref": "topic", "repo": repository}, "base": {"ref": "main"}}
    return json.dumps({"pull_request": request})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose one workflow says how long the secret is that the stage's step would get."""
    (expression,) = re.findall(r"^ +HF_TOKEN: (\$\{\{ .*)$", STAGE.read_text(), flags=re.MULTILINE)
    workflow = tmp_path / ".github/workflows/length.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
        "on: [pull_request, schedule, workflow_dispatch]\njobs:\n  length:\n    runs-on: ubuntu-latest\n    steps:\n"
        f"      - name: length\n        env:\n          HF_TOKEN: {expression}\n"
        '        run: echo "length ${#HF_TOKEN}"\n'
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", f"https://github.com/{OURS}.git")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    return tmp_path


@pytest.mark.parametrize(
    ("event", "payload", "length"),
    [
        ("pull_request", pull_request(OURS), len(CANARY)),
        ("pull_request", pull_request("someone/amd-ci"), 0),
        ("pull_request", pull_request(None), 0),
        ("schedule", "{}", len(CANARY)),
        ("workflow_dispatch", "{}", len(CANARY)),
    ],
)
def test_a_fork_gets_no_secret(checkout: Path, event: str, payload: str, length: int) -> None:
    (checkout / "event.json").write_text(payload)
    act = str(Path(sys.executable).with_name("act"))
    options = ["-e", "event.json", "--no-cache-server", "-P", "ubuntu-latest=-self-hosted"]
    done = subprocess.run(
        [act, event, *options, "-s", f"HF_TOKEN={CANARY}"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "HOME": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"length (\d+)$", done.stdout, flags=re.MULTILINE) == [str(length)]
