"""What a worker says of its node before it gets work, and what the head has against it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.errors import InfrastructureError, Problem
from ci.execute.agent_file import agent_file
from ci.execute.slurm.files import SlurmFiles
from ci.plan.model import Plan

__all__ = ["Greeting", "Hello", "seen_tree", "wrong_with"]

_HARNESS = Path(__file__).parents[3] / "test" / "harness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A node as its worker sees it. `time_s` is its wall clock in seconds since 1970, `tree` a digest of the code and the tests."""

    node: str
    host: str
    time_s: float
    probe: str
    tree: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """A worker's hello; `heard_s` is the head's wall clock when it came, `written`: it can be read in the run folder too."""

    hello: Hello
    heard_s: float
    written: bool


def seen_tree(plan: Plan) -> str:
    """SHA-256 over the agent, the harness and the planned tests, as they are on this node."""
    total = hashlib.sha256(agent_file().sha256.encode())
    root = Path(plan.placement.root)
    tests = [root / test.path for suite in plan.work.suites for test in suite.tests]
    for path in sorted({*_HARNESS.rglob("*.py"), *tests}):
        try:
            data = path.read_bytes()
        except OSError as error:
            data = f"unreadable: {error.strerror}".encode()
        total.update(f"{path}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def wrong_with(
    greetings: Sequence[Greeting], mine: Hello, files: SlurmFiles, *, skew_s: float
) -> InfrastructureError | None:
    """Why these nodes cannot work together, None when they can; `mine` is what the head itself sees."""
    problems: list[Problem] = []
    for greeting in greetings:
        hello, where = greeting.hello, f"node {greeting.hello.node}"
        ahead_s = hello.time_s - greeting.heard_s
        if abs(ahead_s) > skew_s:
            which = "ahead of" if ahead_s > 0 else "behind"
            what = f"its clock is {abs(ahead_s):.1f} s {which} that of node {mine.node} ({skew_s:g} s are allowed)"
            problems.append(Problem(where=where, what=what, hint="run chrony or ntpd on both"))
        if hello.probe != mine.probe:
            what = f"{files.probe} has other content there"
            problems.append(
                Problem(where=where, what=what, hint="the folder must be on a shared file system")
            )
        elif not greeting.written:
            what = f"what it wrote into {files.folder} cannot be read on node {mine.node}"
            problems.append(
                Problem(where=where, what=what, hint="the folder must be on a shared file system")
            )
        if hello.tree != mine.tree:
            what = f"the code or the tests differ from those on node {mine.node}"
            problems.append(
                Problem(where=where, what=what, hint="the checkout must be on a shared file system")
            )
    if not problems:
        return None
    return InfrastructureError(
        "the nodes of the allocation cannot work together",
        problems=problems,
        cause="what they share is not the same for all of them",
        then="docs/slurm.md, What a cluster needs",
    )
