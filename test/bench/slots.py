"""Several tests at a time: the agent's queue against static shards and pytest-xdist, with the same tests on the same slots.

    nox -s bench -- slots [--slots 1,2,4] [--nodes N] [--seconds S] [--seed N] [--json]

40 tests that wait, of mixed length, with estimates that are wrong by 25 %. Each way is measured against its own lower bound: the
longest test, or all of its tests' seconds shared evenly, by the durations measured in that same run. Exit code 1 when the queue takes
more than 1.05 x its lower bound, or is not ahead of a peer in both the share and the time.

With `--nodes` the same on so many nodes, 1 or 2, of the test cluster (root and Debian's Slurm), each with so many slots: a run by the Slurm
executor against an agent for each shard, started by `srun`. pytest-xdist runs on this machine alone, with as many workers. All nodes are
this machine's, so that it is the queue that is compared and not the network.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from ci.plan.shards import split  # noqa: E402
from ci.report.console import new_table, open_console, print_json  # noqa: E402
from support.agent_process import AgentProcess, a_suite, a_test  # noqa: E402
from support.slurm_cluster import Cluster, need_slurm  # noqa: E402
from support.slurm_runs import make_project  # noqa: E402
from support.slurm_slots import OnNodes, queue_on_nodes, shards_on_nodes  # noqa: E402

TESTS = 40
# of estimates, as a share: what a history of SGLang's own jobs has
ERROR = 0.25
LIMIT = 1.05
QUEUE, SHARDS, XDIST = "queue", "static shards", "xdist worksteal"

# a file that runs by itself, as SGLang runs its tests, and under pytest
_TEST = """
import time

def test_wait():
    time.sleep({wait_s})

if __name__ == "__main__":
    test_wait()
"""
# what pytest-xdist's controller hears of each test
_CONFTEST = """
import json
took = {}
def pytest_runtest_logreport(report):
    took[report.nodeid] = took.get(report.nodeid, 0.0) + report.duration
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        open("took.json", "w").write(json.dumps(took))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test: its file, how long it waits, and its estimate."""

    id: str
    wait_s: float
    est_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one way took. `to_first_s` is from `sbatch` to the first event of a test, `between_s` from the end of a test to the start of the next one on its slot, `own_s` what a test takes
    beyond its waiting: both medians, 0 where they are not known.
    """

    way: str
    slots: int
    wall_s: float
    lower_bound_s: float
    between_s: float = 0.0
    own_s: float = 0.0
    nodes: int = 0
    to_first_s: float = 0.0

    @property
    def share(self) -> float:
        """The time over the lower bound."""
        return self.wall_s / self.lower_bound_s


def made_cases(seconds: float, seed: int) -> list[Case]:
    """Tests whose waiting is `seconds` in all; a few are long."""
    chosen = random.Random(seed)
    weights = [chosen.lognormvariate(0, 0.8) for _ in range(TESTS)]
    waits = [seconds * weight / sum(weights) for weight in weights]
    return [
        Case(id=f"test_{number:02}.py", wait_s=wait, est_s=wait * chosen.lognormvariate(0, ERROR))
        for number, wait in enumerate(waits)
    ]


def write(cases: Sequence[Case], folder: Path) -> None:
    for case in cases:
        (folder / case.id).write_text(_TEST.format(wait_s=case.wait_s))


def lower_bound_s(took: Sequence[float], slots: int) -> float:
    return max(sum(took) / slots, *took)


def run_agents(way: str, parts: Sequence[Sequence[Case]], *, jobs: int, folder: Path) -> Result:
    """An agent for each part, all at once, each with so many tests at a time."""
    agents = []
    for number, part in enumerate(parts):
        place = folder / str(number)
        place.mkdir()
        agent = AgentProcess(place)
        write(part, agent.root)
        tests = [a_test(case.id, kind="script", est_s=case.est_s) for case in part]
        agents.append((agent, a_suite(tests, timeout_s=3600)))
    began = time.monotonic()
    for agent, suite in agents:
        agent.start(suite, jobs=jobs)
    for agent, _ in agents:
        agent.wait(3600)
    wall_s = time.monotonic() - began
    waits = {case.id: case.wait_s for part in parts for case in part}
    took: dict[str, float] = {}
    between: list[float] = []
    for agent, _ in agents:
        ended = {event["test"]: event for event in agent.of("test-ended")}
        wrong = [name for name, event in ended.items() if event["verdict"] != "passed"]
        if wrong:
            raise SystemExit(f"{way}: {wrong[0]} ended with {ended[wrong[0]]['verdict']}")
        took |= {name: event["duration_s"] for name, event in ended.items()}
        free: dict[int, float] = {}
        for event in agent.events:
            slot = next((e["slot"] for e in agent.of("test-started") if e["test"] == event.get("test")), 0)
            if event["type"] == "test-started" and slot in free:
                between.append(event["elapsed_s"] - free[slot])
            if event["type"] == "test-ended":
                free[slot] = event["elapsed_s"]
        agent.__exit__(None, None, None)
    if len(took) != TESTS:
        raise SystemExit(f"{way}: {len(took)} of {TESTS} tests ran")
    slots = jobs * len(parts)
    return Result(
        way=way,
        slots=slots,
        wall_s=wall_s,
        lower_bound_s=lower_bound_s(list(took.values()), slots),
        between_s=median(between),
        own_s=median(took[name] - waits[name] for name in took),
    )


def run_xdist(cases: Sequence[Case], *, slots: int, folder: Path) -> Result:
    write(cases, folder)
    (folder / "conftest.py").write_text(_CONFTEST)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        str(slots),
        "--dist",
        "worksteal",
    ]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    began = time.monotonic()
    done = subprocess.run([*argv, str(folder)], cwd=folder, env=environ, stdout=subprocess.PIPE, check=False)
    wall_s = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"pytest-xdist ended with {done.returncode}: {done.stdout.decode()[-2000:]}")
    took: Mapping[str, float] = json.loads((folder / "took.json").read_text())
    bound = lower_bound_s(list(took.values()), slots)
    return Result(way=XDIST, slots=slots, wall_s=wall_s, lower_bound_s=bound)


def measure(cases: Sequence[Case], slots: int) -> list[Result]:
    """The three ways, one after the other."""
    with tempfile.TemporaryDirectory(prefix="slots-") as name:
        folders = {way: Path(name) / way.replace(" ", "-") for way in (QUEUE, SHARDS, XDIST)}
        for folder in folders.values():
            folder.mkdir()
        return [
            run_agents(
                QUEUE, [sorted(cases, key=lambda case: -case.est_s)], jobs=slots, folder=folders[QUEUE]
            ),
            run_agents(SHARDS, split(cases, slots), jobs=1, folder=folders[SHARDS]),
            run_xdist(cases, slots=slots, folder=folders[XDIST]),
        ]


def measure_on_nodes(cluster: Cluster, cases: Sequence[Case], *, nodes: int, jobs: int) -> list[Result]:
    """The three ways on a cluster, one after the other."""
    slots = nodes * jobs
    with tempfile.TemporaryDirectory(prefix="slots-", dir=cluster.shared) as name:
        folders = {way: Path(name) / way.replace(" ", "-") for way in (QUEUE, SHARDS, XDIST)}
        for folder in folders.values():
            folder.mkdir()
        queue = queue_on_nodes(make_project(folders[QUEUE], cluster), cases, nodes=nodes, jobs=jobs)
        sources = {case.id: _TEST.format(wait_s=case.wait_s) for case in cases}
        parts = split(cases, slots)
        shards = shards_on_nodes(cluster, parts, sources, folders[SHARDS], nodes=nodes)
        return [
            _on_nodes(QUEUE, queue, cases, slots=slots, nodes=nodes),
            _on_nodes(SHARDS, shards, cases, slots=slots, nodes=nodes),
            run_xdist(cases, slots=slots, folder=folders[XDIST]),
        ]


def _on_nodes(way: str, found: OnNodes, cases: Sequence[Case], *, slots: int, nodes: int) -> Result:
    waits = {case.id: case.wait_s for case in cases}
    if found.took.keys() != waits.keys():
        raise SystemExit(f"{way}: {len(found.took)} of {len(waits)} tests ran")
    return Result(
        way=way,
        slots=slots,
        nodes=nodes,
        wall_s=found.wall_s,
        lower_bound_s=lower_bound_s(list(found.took.values()), slots),
        between_s=median(found.between_s),
        own_s=median(found.took[name] - waits[name] for name in waits),
        to_first_s=found.to_first_s,
    )


def is_met(results: Sequence[Result]) -> bool:
    """Whether the queue is near its bound and, on more than one slot, ahead of both peers."""
    queue = next(each for each in results if each.way == QUEUE)
    peers = [each for each in results if each.way != QUEUE]
    ahead = all(queue.share < peer.share for peer in peers)
    return queue.share <= LIMIT and (queue.slots == 1 or ahead)


def main() -> int:
    """Measure, show, and compare with the limit."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- slots", description="the queue against its peers")
    parser.add_argument("--slots", default="1,2,4", help="how many slots, with commas (default: %(default)s)")
    parser.add_argument(
        "--nodes", type=int, default=0, choices=(0, 1, 2), help="so many nodes of the test cluster"
    )
    parser.add_argument(
        "--seconds", type=float, default=120, help="waiting of all tests (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = made_cases(options.seconds, options.seed)
    met, rows = True, list[Result]()
    if options.nodes:
        need_slurm()
    with Cluster() if options.nodes else nullcontext() as cluster:
        for slots in map(int, options.slots.split(",")):
            if cluster is None:
                results = measure(cases, slots)
            else:
                results = measure_on_nodes(cluster, cases, nodes=options.nodes, jobs=slots)
            met = met and is_met(results)
            rows += results
    if options.json:
        print_json([{**asdict(row), "share": row.share} for row in rows])
    else:
        columns = ("slots", "way", "took", "lower bound", "share", "between tests", "of a test's own")
        table = new_table(*columns, *(("sbatch to first test",) if options.nodes else ()))
        for row in rows:
            figures = (f"{row.wall_s:.2f} s", f"{row.lower_bound_s:.2f} s", f"{row.share:.3f}")
            between = (
                (f"{row.between_s * 1000:.0f} ms", f"{row.own_s * 1000:.0f} ms") if row.own_s else ("", "")
            )
            first = (f"{row.to_first_s:.1f} s" if row.to_first_s else "",) if options.nodes else ()
            table.add_row(str(row.slots), row.way, *figures, *between, *first)
        open_console(os.environ).print(table)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
