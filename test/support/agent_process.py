"""Starts the real agent with real test files, and sees what is left of it."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # what pytest itself brings for Python 3.10
    import tomli as tomllib

import pytest

from ci.execute.agent_file import AGENT_NAME, agent_file
from support.measured import measured_environ

CATALOG = Path(__file__).resolve().parent / "catalog"
Event = dict[str, Any]

# Short graces for what does not measure the real ones.
QUICK = {"int_grace_s": 0.4, "term_grace_s": 0.4, "stop_int_grace_s": 0.4, "stop_term_grace_s": 0.4}


# A process in a session of its own that takes no notice of SIGINT and SIGTERM; it writes its pid to a file, and another
# one where it ends by itself.
STUBBORN = """
import os, signal, subprocess, sys, time
CODE = '''
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(90)
open(sys.argv[1] + ".over", "w").close()
'''
def stubborn(name, **how):
    child = subprocess.Popen([sys.executable, "-c", CODE, name], start_new_session=True, **how)
    while not os.path.exists(name):
        time.sleep(0.01)
    return child
"""


def agent_limits() -> dict[str, float]:
    """The rows `agent.*` as the executor writes them into a spec."""
    rows = tomllib.loads((CATALOG / "limits.toml").read_text())["limit"]
    return {row["id"].removeprefix("agent."): row["value"] for row in rows if row["id"].startswith("agent.")}


def verdict_rules() -> list[dict[str, object]]:
    """The verdict rules as the executor writes them into a spec."""
    rows = tomllib.loads((CATALOG / "verdicts.toml").read_text())["rule"]
    keys = ("id", "verdict", "about", "only_if", "pattern", "why")
    return [{"only_if": "", **{key: row[key] for key in keys if key in row}} for row in rows]


def cpu_tests() -> dict[str, list[dict[str, object]]]:
    """The rows of the tests' catalog about SGLang's own tests on a CPU, as the executor writes them into a spec."""
    rows = tomllib.loads((CATALOG / "cpu_tests.toml").read_text())
    keys = ("id", "raises", "message", "raised_in", "function", "why")
    errors = {
        f"{kind}s": [{key: row.get(key, "") for key in keys} for row in rows[kind]]
        for kind in ("gpu_proof", "wrapper", "server_end")
    }
    judged = [
        {
            key: row[of]
            for key, of in (("test", "test"), ("file", "test"), ("expression", "expression"), ("why", "why"))
        }
        for row in rows["not_judged"]
    ]
    return {**errors, "not_judged": judged}


def no_cpu_tests() -> dict[str, list[dict[str, object]]]:
    """The same for any other run: none."""
    return {"gpu_proofs": [], "wrappers": [], "server_ends": [], "not_judged": []}


def no_claims() -> dict[str, object]:
    """What the spec has about other workers where there are none."""
    return {"folder": "", "worker": "", "look_s": 1.0}


def this_machine() -> dict[str, object]:
    """What the spec has about nodes where there is one."""
    return {"number": 0, "host": "127.0.0.1", "start": 0}


def verdicts() -> list[dict[str, object]]:
    """A table of verdicts, the worst for the code under test first."""
    cases, file = "unless-quarantined", "unless-file-quarantined"
    causes = {
        "product": cases,
        "device": cases,
        "unknown": cases,
        "bounds": cases,
        "timeout": file,
        "oom": cases,
        "infra": cases,
    }
    others = {"timeout-while-passing": file, "usage": "always", "cancelled": "always"}
    others["passed"] = "never"
    rows = [*causes.items(), ("hardware", cases), *others.items()]
    return [{"id": name, "cause": name not in others, "gates": gates} for name, gates in rows]


def a_test(path: str, **keys: object) -> dict[str, object]:
    """A test of the spec with the id of its path."""
    test = {"id": path, "path": path, "kind": "pytest", "cases": [], "est_s": 1, "timeout_s": 60}
    return {**test, "env": {}, "metrics": [], "quarantine": [], **keys}


def a_metric(name: str, *measured_by: str, **keys: object) -> dict[str, object]:
    """A row for a metric of a test, which these cases would measure: above 10."""
    row = {"metric": name, "op": ">", "limit": 10, "unit": "ms", "source": "fixture", "report_only": False}
    return {**row, "measured_by": list(measured_by), **keys}


def a_suite(tests: Sequence[Mapping[str, object]], **keys: object) -> dict[str, Any]:
    """A suite of the spec: no GPU, one attempt."""
    suite = {"id": "suite", "name": "suite", "timeout_s": 120, "gpus": 0, "attempts": 1, "retry_wait_s": 0}
    return {**suite, "retries": [], "roles": [], "env": measured_environ(), "tests": list(tests), **keys}


def retry(verdict: str, attempts: int, gpu: str = "same") -> dict[str, object]:
    """A verdict after which a test of the suite is tried again."""
    return {"verdict": verdict, "attempts": attempts, "gpu": gpu}


class AgentProcess:
    """One run of the agent over files that are written into a tree of their own.

    Leaving the `with` block kills whatever carries the run's token, so that a failing test leaves nothing behind.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.run_dir = folder / "run"
        self.program = folder / AGENT_NAME
        self.program.write_bytes(agent_file().data)
        self.events: list[Event] = []
        self.arrived: list[float] = []
        self.token = secrets.token_hex(8)
        self.path = ""  # a folder to be searched first
        self.root.mkdir()
        self.run_dir.mkdir()

    def __enter__(self) -> "AgentProcess":  # noqa: PYI034  # Self is Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
            self._reader.join()
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()

    def write(self, path: str, text: str) -> dict[str, object]:
        """A test file of the tree; what the spec says about it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return a_test(path)

    def spec(self, *suites: Mapping[str, object], **keys: object) -> dict[str, Any]:
        """A spec with the rules and limits of the tests' catalog; `limits` overrides single ones."""
        merged = {**agent_limits(), **dict(keys.pop("limits", {}))}  # type: ignore[call-overload]  # a mapping
        top: dict[str, Any] = {"schema": 5, "run": "run", "token": self.token, "root": str(self.root)}
        top |= {"run_dir": str(self.run_dir), "pythonpath": [], "jobs": 1, "gpu_ids": [], "fail_fast": False}
        top |= {
            "gpu_groups": {},
            "sharing": {"alone": [], "variables": []},
            "claims": no_claims(),
            "node": this_machine(),
        }
        top |= {"pytest_args": [], "limits": merged, "verdicts": verdicts(), "suites": list(suites)}
        top |= {"verdict_rules": verdict_rules(), "cpu_tests": no_cpu_tests(), "shared_memory": ["psm_"]}
        return {**top, "harness": {}, **keys}

    def start(self, *suites: Mapping[str, object], **keys: object) -> "AgentProcess":
        """Start the agent; events are read as they come."""
        path = self.run_dir / "spec.json"
        path.write_text(json.dumps(self.spec(*suites, **keys)))
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they would be most of the time
        # a test with a temporary folder would remove those of earlier sessions, and come to its time limit
        environment["PYTEST_DEBUG_TEMPROOT"] = str(self.run_dir)
        if self.path:
            environment["PATH"] = os.pathsep.join([self.path, environment.get("PATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(self.program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment | measured_environ(),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            self.arrived.append(time.monotonic())

    def run(self, *suites: Mapping[str, object], **keys: object) -> "AgentProcess":
        """Start the agent and wait until it has ended."""
        return self.start(*suites, **keys).wait()

    def wait(self, timeout_s: float = 300) -> "AgentProcess":
        """Until the agent has ended and every event is read."""
        self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return self

    def close_stdin(self) -> float:
        """Tell the agent to stop; the time of it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return time.monotonic()

    def errors(self) -> str:
        """What the agent wrote on standard error; call it after its end."""
        assert self.process.stderr is not None
        return str(self.process.stderr.read(), "utf-8")

    def of(self, kind: str) -> list[Event]:
        """The events of one kind so far."""
        return [event for event in list(self.events) if event["type"] == kind]

    def ended(self, test: str, attempt: int = 1) -> Event:
        """The event that ended this attempt."""
        return next(e for e in self.of("test-ended") if e["test"] == test and e["attempt"] == attempt)

    def cases(self, test: str) -> dict[str, Event]:
        """The cases of a test by the part of their id behind the file."""
        return {e["case"].partition("::")[2] or e["case"]: e for e in self.of("case") if e["test"] == test}

    def log(self, test: str, attempt: int = 1) -> str:
        """The log of an attempt."""
        started = next(e for e in self.of("test-started") if e["test"] == test and e["attempt"] == attempt)
        path: Path = self.run_dir / started["log"]
        return path.read_text(errors="replace")

    def alive(self) -> list[int]:
        """Every living process that was started with the run's token."""
        return list(processes_with(f"AMD_CI_TOKEN={self.token}"))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path) as process:
        yield process
        assert process.alive() == [], "processes of the run are left"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[AgentProcess, AgentProcess]]:
    """The agents of two nodes, with one tree."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with AgentProcess(tmp_path / "one") as one, AgentProcess(tmp_path / "two") as two:
        two.root = one.root
        yield one, two
        assert one.alive() + two.alive() == [], "processes of the run are left"


def pid_in(agent: AgentProcess, name: str) -> int:
    for _ in wait_for(f"the file {name}"):
        if (agent.root / name).exists():
            break
    return int((agent.root / name).read_text())


def was_killed(agent: AgentProcess, name: str) -> bool:
    """Whether the stubborn process of this name has ended, and not by itself."""
    return not is_alive(pid_in(agent, name)) and not (agent.root / f"{name}.over").exists()


def processes_with(variable: str) -> Iterator[int]:
    """Living processes with this `NAME=value` in their environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:
                continue


def is_alive(pid: int) -> bool:
    """Whether there is such a process and it is more than a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_for(what: str, *, seconds: float = 20) -> Iterator[None]:
    """`for _ in wait_for("..."): if condition: break`; raises when it takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.02)
    raise TimeoutError(f"waited {seconds} s for {what}")
