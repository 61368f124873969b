"""Replaying the rendered workflows with the real `act`, offline, in a clone, with a recording stand-in for `uvx` and `./inv`.

act ends as soon as a job of a called workflow fails, before any job that waits for it: failures are replayed with the
stage's job written into its caller, which `inline_stage` does.

What act does not prove: cancellation, limits of jobs, concurrency, permissions, path filters; and it looks at the runner
label of a matrix's first job only, so labels are also compared job by job with what the job was told.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from support.files import REPOSITORY, git

__all__ = ["Replay", "Replayed", "clone_with_base", "inline_stage"]

# Notes a call, for those who read `Replayed.calls`.
_NOTES = """#!{python} -IS
import json, os, sys
words = sys.argv[1:]
kept = {{name: os.environ.get(name, "") for name in ("AMD_CI_RUNNER_LABEL", "AMD_CI_ROCM", "GITHUB_EVENT_NAME", "SGLANG_CANARY")}}
call = json.dumps({{"argv": words, "env": kept}}) + "\\n"
record = os.open(os.environ["REPLAY_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(record, call.encode())
"""
# STAND-IN for `uvx`: notes each call; `ci_plan` is the real one, any other session ends as the test says.
_UVX = (
    _NOTES
    + """
if "ci_plan" in words:
    arguments = words[words.index("--") + 1:]
    os.execv({python!r}, [{python!r}, "-B", "-m", "ci", "ci_plan", *arguments])
codes = json.loads(os.environ["REPLAY_CODES"])
raise SystemExit(next((code for text, code in codes.items() if text in " ".join(words)), 0))
"""
)
# STAND-IN for `./inv`, which would make its environment: notes each call.
_INV = _NOTES
# STAND-IN for the actions that the workflows pin: their code is not ours to run.
_ACTION = """name: stand-in
description: does nothing
runs:
  using: composite
  steps:
    - run: "true"
      shell: bash
"""
_NOT_COPIED = re.compile(r"docs/|site/|test/(?!harness/|registered/)")
_USES = re.compile(r"uses: ([\w./-]+@[0-9a-f]{40})")


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """How a replay ended: act's code, the calls of `uvx`, each job's result, each step's by job and name, and the log.

    act gives all jobs of one matrix the same result; their steps have their own.
    """

    code: int
    calls: tuple[Mapping[str, Any], ...]
    results: Mapping[str, str]
    steps: Mapping[tuple[str, str], str]
    unmapped: tuple[str, ...]
    log: str

    @property
    def runs(self) -> list[str]:
        """Each stage session that was called with its label, sorted: act starts the jobs of a matrix side by side."""
        return sorted(
            f"{call['env']['AMD_CI_RUNNER_LABEL']}: {' '.join(call['argv'])}"
            for call in self.calls
            if call["argv"][2:3] and call["argv"][2].endswith("_amd")
        )

    @property
    def sessions(self) -> list[str]:
        """Stage sessions in the order of their calls."""
        words = (call["argv"] for call in self.calls)
        return [argv[2] for argv in words if argv[2:3] and argv[2].endswith("_amd")]

    @property
    def cleanups(self) -> int:
        """How many jobs swept at their end."""
        return sum(call["argv"][-1] == "runs.sweep" for call in self.calls)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A clone of this repository and what act needs beside it."""

    root: Path
    scratch: Path
    shim: str = _UVX
    extra_env: Mapping[str, str] = field(default_factory=dict)

    def act(
        self,
        event: str,
        *,
        labels: Sequence[str],
        payload: Mapping[str, Any] | None = None,
        workflow: str = "amd-pr",
        codes: Mapping[str, int] | None = None,
        offline: bool = True,
    ) -> Replayed:
        """Replay one event; only `labels` have a runner."""
        for name in ("bin", "home", "stub"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)
        shim, record = self.scratch / "bin/uvx", self.scratch / "record.jsonl"
        shim.write_text(self.shim.format(python=sys.executable))
        shim.chmod(0o755)
        (self.scratch / "stub/action.yml").write_text(_ACTION)
        payload_file = self.scratch / "event.json"
        payload_file.write_text(json.dumps(payload or {}))
        record.unlink(missing_ok=True)
        texts = "".join(path.read_text() for path in (self.root / ".github/workflows").glob("amd-*.yml"))
        stubs = [
            f"--local-repository={uses}={self.scratch / 'stub'}" for uses in sorted(set(_USES.findall(texts)))
        ]
        done = subprocess.run(
            [
                *(("unshare", "-n") if offline else ()),
                str(Path(sys.executable).with_name("act")),
                event,
                *("-W", f".github/workflows/{workflow}.yml", "-e", str(payload_file)),
                *("--json", "--no-cache-server"),
                *(f"-P={label}=-self-hosted" for label in ("ubuntu-latest", *labels)),
                *stubs,
            ],
            cwd=self.root,
            env={
                "PATH": f"{shim.parent}:{os.environ['PATH']}",
                "HOME": str(self.scratch / "home"),
                "REPLAY_RECORD": str(record),
                "REPLAY_CODES": json.dumps(codes or {}),
                **self.extra_env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=180,
            check=False,
        )
        return _read(done, record)


def inline_stage(root: Path, workflow: str = "amd-pr") -> None:
    """Replace each call of the stage workflow by the stage's own job, with the caller's values for its inputs."""
    yaml = YAML(typ="safe", pure=True)
    yaml.width = 10_000
    folder = root / ".github/workflows"
    caller = yaml.load(folder / f"{workflow}.yml")
    stage = (folder / "amd-stage.yml").read_text()
    for name, job in caller["jobs"].items():
        if "uses" not in job:
            continue
        text = stage
        for key, value in job["with"].items():
            text = text.replace(f"inputs.{key}", value.removeprefix("${{").removesuffix("}}").strip())
        inlined = yaml.load(text)["jobs"]["test"]
        caller["jobs"][name] = {**inlined, "needs": job["needs"], "if": job["if"]}
    with (folder / f"{workflow}.yml").open("w") as file:
        yaml.dump(caller, file)


def _read(done: subprocess.CompletedProcess[bytes], record: Path) -> Replayed:
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    calls = record.read_text().splitlines() if record.exists() else []
    name = {id(line): line.get("matrix", {}).get("name") or line.get("jobID", "") for line in lines}
    return Replayed(
        code=done.returncode,
        calls=tuple(json.loads(call) for call in calls),
        results={name[id(line)]: line["jobResult"] for line in lines if "jobResult" in line},
        steps={(name[id(line)], line["step"]): line["stepResult"] for line in lines if "stepResult" in line},
        unmapped=tuple(name[id(line)] for line in lines if "unsupported platform" in line["msg"]),
        log="".join(line["msg"] for line in lines if line.get("raw_output")) + done.stderr.decode(),
    )


def clone_with_base(folder: Path) -> Path:
    """The tree as it is in a repository of its own with one commit, and nothing that git does not know or ignores."""
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        # act copies the tree for each job: what no workflow reads stays out
        if name and (REPOSITORY / name).is_file() and not _NOT_COPIED.match(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    (folder / "inv").write_text(_INV.format(python=sys.executable))
    git(folder, "init", "-q", "-b", "main", "--template=")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "base")
    git(folder, "gc", "-q")  # one file instead of hundreds: act copies them too
    return folder
