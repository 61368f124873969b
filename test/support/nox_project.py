"""A scratch copy of this project for tests through the real `nox`: our noxfile, and a stand-in for `python -m ci`.

The stand-in (`STAND_IN` below) ends as a test tells it to, so that each exit code and each way of dying can be had in a
tenth of a second. Environments are real, made by the real uv, of three small packages out of our own pins.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.child_processes import end_with_the_test

__all__ = [
    "REPOSITORY",
    "Ended",
    "Project",
    "alive_with",
    "kill_all",
    "make_project",
    "send",
    "tool",
    "uvx",
    "wait_for",
]

REPOSITORY = Path(__file__).parents[2]

# Pure-Python packages without dependencies of their own, of which our pins have a wheel.
_SMALL_PINS = {"run": "iniconfig", "rehearsal": "pluggy", "model": "mdurl"}

# Those of `ci` that the noxfile itself imports: the rest of its files is six times as many, and `STAND_IN` is in its place.
_PARTS = ("catalog", "nox", "system")

STAND_IN = '''"""STAND-IN for `python -m ci`, written by a test: it does nothing but end as it is told."""

import json, os, signal, subprocess, sys, time

from ci.system.signals import die_with_parent, stop_once

orders = json.loads(os.environ["STAND_IN"])
stage = sys.argv[2] if len(sys.argv) > 2 else ""
with open(orders["log"], "a", encoding="utf-8") as log:
    log.write(json.dumps({"argv": sys.argv[1:], "path": os.environ["PATH"], "stdout_fd": os.readlink("/proc/self/fd/1")}))
    log.write("\\n")
if os.environ.get("NOX_CURRENT_SESSION"):
    die_with_parent()
if stage in orders["hang"]:
    stop_once(lambda number: None)
    helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        open(orders["ready"], "w").close()
        time.sleep(600)
    except KeyboardInterrupt:
        time.sleep(orders["cleanup_s"])
        helper.kill()
        helper.wait()
        open(orders["cleaned"], "w").close()
        raise SystemExit(orders["codes"].get(stage, 130))
print(json.dumps({"stage": stage}))
print("noise of the stand-in", file=sys.stderr)
code = orders["codes"].get(stage, 0)
if code < 0:
    os.kill(os.getpid(), -code)
raise SystemExit(code)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of Nox ended, and what the stand-in was called with."""

    code: int
    stdout: str
    stderr: str
    calls: tuple[Mapping[str, Any], ...]

    @property
    def argvs(self) -> list[list[str]]:
        """The words after `python -m ci`, call by call."""
        return [call["argv"] for call in self.calls]


@dataclass(slots=True, kw_only=True)
class Project:
    """A scratch project, and how Nox is run in it."""

    root: Path
    envdir: Path
    token: str
    codes: dict[str, int] = field(default_factory=dict)
    hang: list[str] = field(default_factory=list)
    cleanup_s: float = 0.0

    @property
    def out(self) -> Path:
        """Where the stand-in writes; the project itself may be read-only."""
        return self.root.with_name(f"{self.root.name}.out")

    @property
    def log(self) -> Path:
        return self.out / "calls.jsonl"

    @property
    def output(self) -> Path:
        """What Nox and all below it printed, after `start`."""
        return self.out / "output.txt"

    @property
    def ready(self) -> Path:
        """Made by the stand-in when it hangs."""
        return self.out / "hangs"

    @property
    def cleaned(self) -> Path:
        """Made by the stand-in when its cleanup is complete."""
        return self.out / "cleaned up"

    def environment(self, **changes: str | None) -> dict[str, str]:
        """Ours without what an outer Nox or uv put there, and with what the stand-in is told."""
        orders = {
            "log": str(self.log),
            "ready": str(self.ready),
            "cleaned": str(self.cleaned),
            "codes": self.codes,
            "hang": self.hang,
            "cleanup_s": self.cleanup_s,
        }
        outer = {
            name: value
            for name, value in os.environ.items()
            if name == "UV_CACHE_DIR"
            or not name.startswith(("NOX", "UV", "VIRTUAL_ENV", "PYTEST", "PYTHON", "AMD_CI"))
        }
        merged = {**outer, "STAND_IN": json.dumps(orders), "SCRATCH_TOKEN": self.token, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def command(self, *words: str, nox: Sequence[str] = ()) -> list[str]:
        """A command line of Nox with the environments' folder that all scratch projects share."""
        return [*(nox or (tool("nox"),)), "--envdir", str(self.envdir), *words]

    def nox(
        self, *words: str, nox: Sequence[str] = (), before: Sequence[str] = (), **changes: str | None
    ) -> Ended:
        """Run Nox to its end.

        Args:
            words: Nox's own.
            nox: what to start instead of `nox`.
            before: a command that runs Nox, such as `unshare -n`.
            changes: of the environment; None removes a variable.
        """
        self.log.unlink(missing_ok=True)
        done = subprocess.run(
            [*before, *self.command(*words, nox=nox)],
            cwd=self.root,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ended(code=done.returncode, stdout=done.stdout, stderr=done.stderr, calls=self.calls())

    def start(
        self, *words: str, nox: Sequence[str] = (), before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start Nox in a process group of its own and wait until the stand-in hangs."""
        with self.output.open(
            "w", encoding="utf-8"
        ) as output:  # and no pipe, which what is left behind would hold
            process = subprocess.Popen(
                [*before, *self.command(*words, nox=nox)],
                cwd=self.root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end_with_the_test(process)
        if (
            not wait_for(lambda: self.ready.exists() or process.poll() is not None, within_s=60)
            or process.poll()
        ):
            raise AssertionError(self.output.read_text(encoding="utf-8"))
        return process

    def calls(self) -> tuple[Mapping[str, Any], ...]:
        """What the stand-in was called with since the last start."""
        if not self.log.exists():
            return ()
        return tuple(json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines())


def make_project(root: Path, *, envdir: Path, pins: Mapping[str, str] | None = None) -> Project:
    """Copy our noxfile and what it imports there, with the stand-in and small pins; `pins` names another package of a group."""
    root.mkdir(parents=True)
    shutil.copy(REPOSITORY / "noxfile.py", root)
    for name in _PARTS:
        shutil.copytree(REPOSITORY / "ci" / name, root / "ci" / name)  # with what is compiled already
    for file in ("__init__.py", "errors.py"):
        shutil.copy(REPOSITORY / "ci" / file, root / "ci")
    (root / "ci" / "__main__.py").write_text(STAND_IN, encoding="utf-8")
    (root / "requirements").mkdir()
    ours = "".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "requirements").glob("*.txt"))
    every = dict.fromkeys((file.stem for file in (REPOSITORY / "requirements").glob("*.txt")), "mdurl")
    for group, package in {**every, **_SMALL_PINS, **(pins or {})}.items():
        pin = re.search(rf"^{package}==(?:.+\n)+?(?=\S|    # )", ours, re.MULTILINE)
        assert pin, f"our pins have no {package}"
        (root / "requirements" / f"{group}.txt").write_text(pin.group(), encoding="utf-8")
    project = Project(root=root, envdir=envdir, token=f"{root.name}-{os.getpid()}-{time.monotonic_ns()}")
    project.out.mkdir()
    return project


def tool(name: str) -> str:
    """A command of the environment that runs us: `nox`, `uv`, `uvx`."""
    return str(Path(sys.executable).with_name(name))


def uvx() -> tuple[str, ...]:
    """`uvx nox`, of the version that runs us; from uv's cache if it is there."""
    version = subprocess.run(
        [tool("python"), "-c", "from importlib.metadata import version; print(version('nox'))"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    return (tool("uvx"), f"nox@{version}")


def send(process: subprocess.Popen[bytes], number: signal.Signals, *, group: bool = False) -> None:
    """A signal to Nox alone, or to all that a terminal's Ctrl-C would reach."""
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def alive_with(token: str) -> dict[int, str]:
    """The command lines of all processes of a project by process id, found by its token in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = command.strip()
        except OSError:  # it has ended meanwhile
            continue
    return found


def kill_all(token: str) -> None:
    """Kill what a failed test left of a project."""
    for pid in alive_with(token):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], *, within_s: float) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
