"""The two ways in which tests are spread over the nodes of a cluster: one queue, and a static shard for each slot."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from support.agent_process import AgentProcess, a_suite, a_test
from support.files import only_tests
from support.slurm_cluster import Cluster
from support.slurm_runs import Project, noting

__all__ = ["OnNodes", "queue_on_nodes", "shards_on_nodes"]

Event = dict[str, Any]
_LIMIT_S = 3600.0


class Waiting(Protocol):
    """A test of the bench: how long it waits, and its estimate."""

    @property
    def id(self) -> str: ...

    @property
    def wait_s(self) -> float: ...

    @property
    def est_s(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNodes:
    """What a way took on the cluster. `took` are the seconds of each test, `wall_s` is from the start of the first agent to the end
    of the last one; `to_first_s` from `sbatch` to the first event of a test, 0 where there is no batch job.
    """

    wall_s: float
    took: Mapping[str, float]
    between_s: tuple[float, ...]
    to_first_s: float = 0.0


def queue_on_nodes(project: Project, cases: Sequence[Waiting], *, nodes: int, jobs: int) -> OnNodes:
    """A run of a stage by the Slurm executor."""
    only_tests(
        project.repository,
        {
            f"amd/{case.id}": noting(
                case.id, project.notes, f"time.sleep({case.wait_s})", est_s=round(case.est_s, 3)
            )
            for case in cases
        },
    )
    run = project.run("--nodes", str(nodes), "--jobs", str(jobs), timeout_s=_LIMIT_S)
    if run.process.returncode != 0:
        raise SystemExit(f"the run ended with {run.process.returncode}: {run.text[-3000:]}")
    events = run.events()
    submitted_s = moment_s(json.loads((run.folder / "slurm/job.json").read_text())["submitted"])
    began_s = min(moment_s(event["time"]) for event in events if event["type"] == "worker-started")
    ended_s = max(moment_s(event["time"]) for event in events if event["type"] == "worker-ended")
    first_s = min(moment_s(event["time"]) for event in events if event["type"] == "test-started")
    return OnNodes(
        wall_s=ended_s - began_s,
        took={Path(e["test"]).name: e["duration_s"] for e in events if e["type"] == "test-ended"},
        between_s=tuple(_between(events)),
        to_first_s=first_s - submitted_s,
    )


def shards_on_nodes(
    cluster: Cluster,
    parts: Sequence[Sequence[Waiting]],
    sources: Mapping[str, str],
    folder: Path,
    *,
    nodes: int,
) -> OnNodes:
    """An agent for each part, as many of them on each node, all started by one `srun`."""
    for number, part in enumerate(parts):
        place = folder / str(number)
        place.mkdir()
        agent = AgentProcess(place)
        tests = [
            {**agent.write(case.id, sources[case.id]), **a_test(case.id, kind="script", est_s=case.est_s)}
            for case in part
        ]
        (agent.run_dir / "spec.json").write_text(json.dumps(agent.spec(a_suite(tests, timeout_s=_LIMIT_S))))
    start = folder / "start.py"
    start.write_text(_START.format(folder=str(folder)))
    argv = ["srun", f"--nodes={nodes}", f"--ntasks={len(parts)}", f"--ntasks-per-node={len(parts) // nodes}"]
    argv += ["--input=all", f"--output={folder}/%t.jsonl", sys.executable, str(start)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=cluster.environ) as process:
        # its end is the agents' word to stop
        process.wait(_LIMIT_S)
    if process.returncode != 0:
        raise SystemExit(f"srun ended with {process.returncode}")
    by_agent = [
        [json.loads(line) for line in (folder / f"{number}.jsonl").read_text().splitlines()]
        for number in range(len(parts))
    ]
    events = [event for each in by_agent for event in each]
    began_s = min(moment_s(event["time"]) for event in events if event["type"] == "agent-started")
    ended_s = max(moment_s(event["time"]) for event in events if event["type"] == "agent-ended")
    return OnNodes(
        wall_s=ended_s - began_s,
        took={event["test"]: event["duration_s"] for event in events if event["type"] == "test-ended"},
        between_s=tuple(gap for each in by_agent for gap in _between(each)),
    )


# a task's number is its shard's
_START = """
import os, sys
place = os.path.join({folder!r}, os.environ["SLURM_PROCID"])
os.execv(sys.executable, [sys.executable, os.path.join(place, "agent.pyz"), os.path.join(place, "run", "spec.json")])
"""


def _between(events: Sequence[Event]) -> Iterator[float]:
    """From the end of a test to the start of the next one on its slot."""
    slots = {
        (event.get("worker", ""), event["test"]): event.get("slot", 0)
        for event in events
        if event["type"] == "test-started"
    }
    free: dict[tuple[str, int], float] = {}
    for event in events:
        if event["type"] not in ("test-started", "test-ended"):
            continue
        worker = event.get("worker", "")
        slot = (worker, slots[worker, event["test"]])
        if event["type"] == "test-ended":
            free[slot] = event["elapsed_s"]
        elif slot in free:
            yield event["elapsed_s"] - free[slot]


def moment_s(text: str) -> float:
    """A time of an event in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
