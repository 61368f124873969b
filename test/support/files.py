"""What integration and fault tests share: the command line as a child, copies of this repository, waiting."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.child_processes import end_with_the_test
from support.measured import measured_environ

REPOSITORY = Path(__file__).parents[2]
COPIED = (
    "ci",
    "envs",
    "test",
    "requirements",
    "noxfile.py",
    "tasks.py",
    "pyproject.toml",
    ".gitignore",
    "README.md",
    ".github",
)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, for messages of failed assertions."""
        return self.out + self.err

    def events(self) -> list[dict[str, Any]]:
        """Standard output of `--json` runs."""
        return [json.loads(line) for line in self.out.splitlines()]


def child_env(runs: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small environment: nothing of the caller's but PATH."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(runs.parent),
        "AMD_CI_RUNS": str(runs),
        "PYTHONDONTWRITEBYTECODE": "1",
        **measured_environ(),
        **(extra or {}),
    }


def ci(
    *arguments: str,
    runs: Path,
    cwd: Path = REPOSITORY,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 180,
) -> Ended:
    """`python -m ci ARGUMENTS` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "ci", *arguments],
        cwd=cwd,
        env=child_env(runs, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def start_ci(*arguments: str, runs: Path, cwd: Path = REPOSITORY, out: Path) -> subprocess.Popen[bytes]:
    """`python -m ci ARGUMENTS` in the background, both streams to a file."""
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ci", *arguments],
            cwd=cwd,
            env=child_env(runs),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return end_with_the_test(process)


def git(folder: Path, *arguments: str) -> str:
    """git with an author of its own."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, check=True)
    return done.stdout.decode().strip()


def copy_repository(folder: Path) -> Path:
    """This repository's files as they are, committed in a repository of their own, so that tests can edit rows."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name)  # with what is compiled already
        elif source.exists():
            shutil.copy(source, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "copy")
    return folder


def only_tests(repository: Path, tests: Mapping[str, str]) -> None:
    """Replace the registered tests of a copy by these, path to source, and the bounds and the quarantine by none."""
    registered = repository / "test/registered"
    shutil.rmtree(registered)
    for path, source in tests.items():
        file = registered / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    (repository / "ci/catalog/bounds.toml").write_text("")
    (repository / "ci/catalog/quarantine.toml").write_text("")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "tests")


def set_limits(repository: Path, values: Mapping[str, float]) -> None:
    """Change rows of a copy's limits.toml."""
    path = repository / "ci/catalog/limits.toml"
    blocks = path.read_text().split("[[limit]]")
    for name, value in values.items():
        (index,) = (number for number, block in enumerate(blocks) if f'id = "{name}"' in block)
        lines = [
            f"value = {value}" if line.startswith("value = ") else line for line in blocks[index].splitlines()
        ]
        blocks[index] = "\n".join(lines) + "\n\n"
    path.write_text("[[limit]]".join(blocks))


def registered(body: str, *, est_time: float = 5, suite: str = "stage-a-test-1-gpu-small-amd") -> str:
    """A registered test file around a body."""
    return (
        "import sys\n\nimport pytest\nfrom harness.register import register_amd_ci\n\n"
        f'register_amd_ci(est_time={est_time}, suite="{suite}")\n\n\n{body}\n\n'
        'if __name__ == "__main__":\n    sys.exit(pytest.main([__file__]))\n'
    )


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    """The first true value of a condition, asked every 50 ms."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def processes_of(token: str) -> list[str]:
    """Command lines of living processes whose environment holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if token.encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append(
                        (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
        except OSError:
            continue
    return found


def run_folder(runs: Path) -> Path:
    """The only run folder of a folder of runs."""
    (folder,) = (entry for entry in runs.iterdir() if not entry.name.startswith("."))
    return folder


def token_of(folder: Path) -> str:
    """The run's token, from what its agent was told."""
    return str(json.loads((folder / "spec.json").read_text())["token"])


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """A signal to one process."""
    os.kill(process.pid, number)
