"""A canary in every secret variable: found in the masks that Actions takes, and nowhere else that we write or start."""

import os
import re
import subprocess
import sys
import threading
import uuid
import zlib
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from support.files import child_env, copy_repository, only_tests, registered, set_limits

CANARY = f"canary-{uuid.uuid4().hex}"
# each word of environment.toml's [[secret]], and names that tools give to theirs
SECRETS = (
    "HF_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "DOCKERHUB_AMD_TOKEN", "AWS_SECRET_ACCESS_KEY",
    "SOME_PASSWORD", "SOME_PASSWD", "SOME_CREDENTIAL", "SOME_CREDENTIALS", "SOME_APIKEY", "OPENAI_API_KEY",
)  # fmt: skip
# it needs its token (HF_TOKEN passes through) and fails, so that every report has its say
TEST = """
def test_needs_a_token() -> None:
    assert os.environ["HF_TOKEN"].startswith("canary")
    assert sorted(name for name in os.environ if "TOKEN" in name and not name.startswith("AMD_CI")) == ["HF_TOKEN"]
    assert 1 == 2
"""


def canaries() -> dict[str, str]:
    return {name: f"{CANARY}-{number}" for number, name in enumerate(SECRETS)}


class Watcher(threading.Thread):
    """Reads every process's command line while the run goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.seen: set[str] = set()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        self.seen.add(Path(entry.path, "cmdline").read_bytes().decode(errors="replace"))
                    except OSError:
                        continue


def inside_capsules(text: str) -> str:
    """What the capsules of a text unpack to: a canary would not be seen through the compression."""
    found = []
    for line in text.splitlines():
        if "amd-ci-capsule 1 " in line:
            payload = re.split(r"[^A-Za-z0-9_-]", line[line.index("amd-ci-capsule") :].split()[6])[0]
            raw = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            found.append(zlib.decompress(raw, wbits=-zlib.MAX_WBITS).decode())
    assert found
    return "".join(found)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_repository(tmp_path_factory.mktemp("canary") / "repository")
    only_tests(copy, {"a/test_red.py": "import os\n" + registered(TEST)})
    set_limits(copy, {"agent.settle_s": 0.05})
    return copy


def test_a_secret_under_another_name_is_refused_without_showing_it(repository: Path, tmp_path: Path) -> None:
    env = child_env(tmp_path / "runs", canaries())
    done = subprocess.run(
        [sys.executable, "-m", "ci", "run", "stage-a-amd", "--hardware", "cpu", "--env", f"X=a{CANARY}-0b"],
        cwd=repository, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "--env X: holds the value of HF_TOKEN" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("actions", [True, False], ids=["actions", "plain"])
def test_no_secret_leaves_the_environment(repository: Path, tmp_path: Path, actions: bool) -> None:  # noqa: FBT001
    runs, summary = tmp_path / "runs", tmp_path / "summary.md"
    extra = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_EVENT_NAME": "schedule"}
    env = child_env(runs, {**canaries(), **(extra if actions else {})})
    watcher = Watcher()
    watcher.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ci", "run", "stage-a-amd", "--hardware", "cpu", "--json"],
            cwd=repository, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        again = subprocess.run(
            [sys.executable, "tasks.py", "repro", "-"],
            cwd=repository, env=env, input=done.stderr, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        rendered = subprocess.run(
            [sys.executable, "-m", "ci", "workflows"],
            cwd=repository, env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        watcher.stop.set()
        watcher.join()
    assert done.returncode == 1, done.stderr
    assert "assert 1 == 2" in done.stdout, "the test did not see the variables that it should"
    assert again.returncode == 0, again.stderr
    assert rendered.returncode == 0, rendered.stderr
    assert list((repository / ".github/workflows").iterdir())
    printed = [line for line in done.stderr.splitlines() if not line.startswith("::add-mask::")]
    masked = [line for line in done.stderr.splitlines() if line.startswith("::add-mask::")]
    if actions:
        assert masked == [
            f"::add-mask::{value}" for value in dict.fromkeys(env[name] for name in env if name in canaries())
        ]
        # the runner hides only what comes after the mask
        assert done.stderr.startswith("::add-mask::")
        assert summary.stat().st_size
    for name, text in {
        "standard output": done.stdout,
        "standard error": "\n".join(printed),
        "repro": again.stdout + again.stderr,
        "rendering": rendered.stdout + rendered.stderr,
        "capsules": inside_capsules(done.stdout) + inside_capsules(done.stderr),
        "command lines": "\n".join(watcher.seen),
    }.items():
        assert CANARY not in text, name
    files = [file for file in [*runs.rglob("*"), *tmp_path.glob("*.md")] if file.is_file()]
    assert len(files) > 6
    for file in files:
        assert CANARY.encode() not in file.read_bytes(), file
    for file in repository.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file
