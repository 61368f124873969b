"""What the tests of the docker executor share: a copy of this repository with small tests, and runs of it."""

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.docker.labels import RUN
from support.engines import Engine
from support.files import Ended, child_env, copy_repository, git, only_tests, registered, set_limits, wait_for

STAGE = "stage-a-amd"
PASSING = "test/registered/test_passes.py"
HANGING = "test/registered/test_hangs.py"
ODD = "test/registered/test_odd.py"

TESTS = {
    "test_passes.py": registered(
        """def test_passes() -> None:
    print("in the container")
"""
    ),
    # a child in a session of its own that ignores what it can
    "test_hangs.py": registered(
        """def test_hangs() -> None:
    import subprocess, time
    code = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    print("hanging now", flush=True)
    time.sleep(600)
"""
    ),
    "test_odd.py": registered(
        """@pytest.mark.parametrize("text", ["$(id); `id` | & 'x' é"])
def test_unusual_text(text: str) -> None:
    import os
    assert os.environ["ODD"] == "$(touch /tmp/x) 'é' \\\\ \\n end"
"""
    ),
}
# A step of the installation that only a test's own catalog has: it gives signals something to cut.
SLOW_STEP = """
[[step]]
id = "slow"
text = "a step that takes long"
flavours = ["rehearsal"]
commands = [["{python}", "-c", "import time; time.sleep(600)"]]
timeout_s = 900
era = "test"
why = "a test stops the run in it"
source = "test"
"""


@dataclass(frozen=True)
class Runs:
    """Runs of one copy of this repository on one engine; `folder` gets their run folders."""

    repository: Path
    host: str
    image: str
    folder: Path
    stage: str = STAGE
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            **child_env(self.folder),
            "DOCKER_HOST": self.host,
            "AMD_CI_CACHE": str(self.folder.parent / "cache"),
            **(extra or {}),
        }

    def argv(self, *arguments: str) -> list[str]:
        docker: tuple[str, ...] = ("--executor", "docker", "--image", self.image)
        if {"--image", "--plan", "--executor"} & set(arguments):
            docker = ("--executor", "docker") if "--image" in arguments else ()
        return [sys.executable, "-m", "ci", "run", self.stage, *docker, *arguments]

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> Ended:
        """A run to its end."""
        done = subprocess.run(
            self.argv(*arguments),
            cwd=self.repository,
            env=self.env(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return Ended(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A run in the background; what it prints goes to `out.txt` beside the runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / "out.txt").open("wb") as file:
            process = subprocess.Popen(
                self.argv(*arguments),
                cwd=self.repository,
                env=self.env(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def newest(self) -> Path:
        """The newest run folder."""
        return max(
            (entry for entry in self.folder.iterdir() if not entry.name.startswith(".")),
            key=lambda entry: entry.stat().st_ctime,
        )

    def events(self) -> list[dict[str, Any]]:
        """The newest run's record so far; a line that is being written is left out."""
        if not self.folder.is_dir() or not any(
            not entry.name.startswith(".") for entry in self.folder.iterdir()
        ):
            return []
        try:
            text = (self.newest() / "events.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_event(self, kind: str, **keys: object) -> dict[str, Any]:
        """The first event of a kind with these values."""

        def found() -> dict[str, Any] | None:
            fitting = (
                event
                for event in self.events()
                if event["type"] == kind and all(event.get(name) == value for name, value in keys.items())
            )
            return next(fitting, None)

        try:
            event: dict[str, Any] = wait_for(f"{kind} {keys}", found, 30)
        except AssertionError as error:
            out = self.folder.parent / "out.txt"
            raise AssertionError(f"{error}\n{out.read_text()[-3000:]}") from None
        return event

    def failure(self) -> dict[str, Any]:
        """The newest run's only `executor-failed`."""
        (event,) = (event for event in self.events() if event["type"] == "executor-failed")
        return event


def make_repository(folder: Path) -> Path:
    """A copy with the tests above, and waits that are short."""
    repository = copy_repository(folder)
    only_tests(repository, TESTS)
    set_limits(repository, {"container.paused_s": 0.5, "agent.int_grace_s": 0.5, "agent.term_grace_s": 0.5})
    git(repository, "commit", "-qam", "short waits")
    return repository


def tiny_image(engine: Engine) -> str:
    """An image with `cat` and `sleep` of this machine and what they are linked against: made in a moment."""
    name = "sglang-amd-ci-test/tiny:1"
    if engine.has(name):
        return name
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for program in ("/bin/cat", "/bin/sleep"):
            archive.add(program)
        listed = subprocess.run(["ldd", "/bin/cat"], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            archive.add(library)
    engine.client.api.import_image_from_data(buffer.getvalue(), repository=name.partition(":")[0], tag="1")
    return name


def ours(engine: Engine) -> list[str]:
    """Names of all containers with our labels, whatever their state."""
    return [
        row["Names"][0].lstrip("/")
        for row in engine.client.api.containers(all=True, filters={"label": [RUN]})
    ]


def volumes(engine: Engine) -> set[str]:
    """Names of the engine's volumes."""
    return {row["Name"] for row in engine.client.api.volumes()["Volumes"] or ()}


def owned_by(folder: Path, uid: int) -> list[Path]:
    """What in a tree belongs to this user."""
    return [path for path in (folder, *folder.rglob("*")) if path.lstat().st_uid == uid]
