"""Runs of scratch tests on the test cluster: each test notes when it begins and ends, so that none is counted twice."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.child_processes import end_with_the_test
from support.files import child_env, copy_repository, git, only_tests, wait_for
from support.slurm_cluster import Cluster

__all__ = ["Project", "Run", "make_project", "noting"]

_SUITE = "stage-a-test-1-gpu-small-amd"
# a script starts faster than pytest
_NOTING = """\
import os, platform, sys, time

from harness.register import register_amd_ci

register_amd_ci(est_time={est_s}, suite="{suite}")


def note(word):
    place = os.open({notes!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(place, f"{{word}} {name} {{platform.node()}} {{os.getpid()}}\\n".encode())
    os.close(place)


if __name__ == "__main__":
    note("begin")
    {body}
    note("end")
    sys.exit(0)
"""


def noting(name: str, notes: Path, body: str = "pass", *, est_s: float = 5) -> str:
    """The source of a test that notes its name; `body` is one line."""
    return _NOTING.format(name=name, notes=str(notes), body=body, est_s=est_s, suite=_SUITE)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was started, and what can be asked about it."""

    process: subprocess.Popen[bytes]
    project: "Project"
    out: Path

    @property
    def text(self) -> str:
        """What the submitter has printed, without the line that is no text."""
        lines = self.out.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if "amd-ci-capsule" not in line)

    @property
    def folder(self) -> Path:
        """The run folder. Raises AssertionError when there is none yet."""
        said = re.search(r"\brun (\d{8}T\d{6}Z-\S+)", self.text)
        assert said is not None, self.text
        return self.project.runs / said[1]

    @property
    def job(self) -> int:
        """Slurm's job, waited for."""

        def submitted() -> bool:
            return "done submit" in self.text or self._ended()

        wait_for("the job", submitted, 30)
        return int(json.loads((self.folder / "slurm/job.json").read_text())["job"])

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, timeout_s: float = 60) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the run goes on after {timeout_s} s:\n{self.text}") from None

    def wait_for_notes(self, count: int, word: str = "begin", on: str = "", timeout_s: float = 60) -> None:
        """Wait until so many tests have begun or ended, on one node or on any."""

        def enough() -> bool:
            assert not self._ended(), f"the run has ended: {self.text}"
            return sum(1 for note in self.project.noted(word) if not on or note[1] == on) >= count

        try:
            wait_for(f"{count} x {word}", enough, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def send(self, number: signal.Signals) -> None:
        """A signal to the submitter alone."""
        os.kill(self.process.pid, number)

    def events(self) -> list[dict[str, Any]]:
        """The record."""
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]

    def of(self, *types: str) -> list[dict[str, Any]]:
        """Its events of these types."""
        return [event for event in self.events() if event["type"] in types]

    def outcomes(self) -> dict[str, str]:
        """Name of the test to its last verdict, tests that were not run too."""
        return {
            Path(event["test"]).stem.removeprefix("test_"): event["verdict"]
            for event in self.of("test-ended", "test-not-run")
        }

    def settled(self) -> set[str]:
        """Names of the tests whose end is in the record; waits for the first."""
        wait_for("the end of a test in the record", lambda: self.of("test-ended"), 15)
        return set(self.outcomes())

    def given_again(self) -> set[str]:
        """Names of the tests that lost workers had."""
        return {
            Path(test["test"]).stem.removeprefix("test_")
            for lost in self.of("worker-lost")
            for test in lost["tests"]
        }

    @property
    def error(self) -> str:
        """What went wrong with the executor, as the record has it."""
        return json.dumps(self.of("executor-failed"))


@dataclass(frozen=True, kw_only=True)
class Project:
    """A copy of this repository with tests of its own, the cluster on which they are run, and their notes."""

    repository: Path
    cluster: Cluster
    runs: Path
    notes: Path

    def set_tests(self, bodies: Mapping[str, str]) -> None:
        """Replace the tests by these, name to the one line of their body; longest estimates first."""
        total = len(bodies)
        only_tests(
            self.repository,
            {
                f"amd/test_{name}.py": noting(name, self.notes, body, est_s=total - index)
                for index, (name, body) in enumerate(bodies.items())
            },
        )

    def set_row(self, **values: str | bool | int) -> None:
        """Change or add keys of the cluster's row."""
        path = self.repository / "ci/catalog/clusters.toml"
        head, row, rest = re.split(r"(?s)(\[\[cluster\]\].*?\n\n)", path.read_text(), maxsplit=1)
        for key, value in values.items():
            row = re.sub(rf"(?m)^{key} = .*\n", "", row)
            row = row.rstrip("\n") + f"\n{key} = {json.dumps(value)}\n\n"
        path.write_text(head + row + rest)
        git(self.repository, "commit", "--allow-empty", "-qam", "row")

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """A small environment with the cluster in it."""
        return child_env(self.runs, {"SLURM_CONF": str(self.cluster.conf), **(extra or {})})

    def start(
        self, *options: str, argv: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
    ) -> Run:
        """Start stage a on the cluster, in a process group of its own."""
        words = argv or (sys.executable, "-m", "ci", "run", "stage-a-amd", "--executor", "slurm", *options)
        out = self.notes.parent / f"out.{os.urandom(3).hex()}.txt"
        with out.open("wb") as file:
            process = subprocess.Popen(
                words,
                cwd=self.repository,
                env=self.environ(environ),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Run(process=end_with_the_test(process), project=self, out=out)

    def run(self, *options: str, environ: Mapping[str, str] | None = None, timeout_s: float = 60) -> Run:
        """Run stage a on the cluster to its end."""
        run = self.start(*options, environ=environ)
        run.wait(timeout_s)
        return run

    def verb(self, *words: str) -> subprocess.CompletedProcess[str]:
        """An operator's verb to its end, such as `slurm.list`."""
        return self.command(sys.executable, "-m", "invoke", *words)

    def command(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command in the project to its end."""
        return subprocess.run(
            argv,
            cwd=self.repository,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def run_folders(self) -> list[Path]:
        """All run folders."""
        return sorted(self.runs.glob("2*"))

    def noted(self, word: str) -> list[tuple[str, str]]:
        """Name and node of the tests that have noted `begin` or `end`, in that order."""
        if not self.notes.exists():
            return []
        lines = [line.split() for line in self.notes.read_text().splitlines()]
        return [(line[1], line[2]) for line in lines if line[0] == word]

    def counts(self, word: str) -> Counter[str]:
        """How often each test has begun or ended."""
        return Counter(name for name, _ in self.noted(word))

    def begun_twice(self) -> set[str]:
        """Tests that have begun twice. Raises AssertionError where one has begun more often."""
        begun = self.counts("begin")
        assert max(begun.values(), default=0) <= 2, begun
        return {name for name, count in begun.items() if count == 2}

    def left(self) -> list[str]:
        """What must not be there after a run: allocations, and processes of jobs on nodes."""
        found = [f"job {number}" for number in self.cluster.allocations()]
        for name, node in self.cluster.nodes.items():
            if node.on:
                found += [f"process on {name}: {line}" for line in self.cluster.leftover_commands(name)]
        return found

    def wait_until_nothing_is_left(self, timeout_s: float = 15) -> None:
        """Slurm itself takes a moment to take a job away."""
        try:
            wait_for("the end of allocations and processes", lambda: not self.left(), timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.left()}") from None


def make_project(folder: Path, cluster: Cluster) -> Project:
    """A project in a folder that all nodes see."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = copy_repository(folder / "repository")
    return Project(repository=repository, cluster=cluster, runs=folder / "runs", notes=folder / "notes")
