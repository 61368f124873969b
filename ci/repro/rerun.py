"""Doing it again: a plan once, until it fails, or over commits."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ci.catalog.executors import ExecutorKind
from ci.errors import ExitCode, InfrastructureError, UsageError, writing
from ci.facts.git import commit_of
from ci.plan.compare.replay import at_commit, placing_words
from ci.plan.model import Plan
from ci.repro.worktree import GIT_S, resolve_commit, work_tree
from ci.system.process import attached, capture

__all__ = ["ABORT", "Again", "Bisected", "Repeated", "Step", "read_step"]

# what a run's exit code says about the code under test
_GOOD = frozenset({ExitCode.OK})
_BAD = frozenset({ExitCode.TESTS_FAILED, ExitCode.TIMEOUT, ExitCode.GUARD, ExitCode.BOUNDS})
# the codes of `git bisect run` for a commit that cannot be tested, and for stopping it
_SKIP = 125
ABORT = 128
# an interrupted session cleans up: Nox waits 8.3 s for it (noxfile.py)
_STOP_S = 12.0
_POLL_S = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """How often a plan was run and how it ended; `code` is the last run's exit code."""

    runs: int
    passed: int
    unclear: int
    code: int

    @property
    def words(self) -> str:
        """The counts in a sentence."""
        unclear = f", {self.unclear} of the others were infrastructure failures" if self.unclear else ""
        if self.code in _BAD:
            return (
                f"failed in run {self.runs} (exit code {self.code}), {self.passed} passed before it{unclear}"
            )
        return f"{self.passed} of {self.runs} runs passed, none failed{unclear}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """The first bad commit; empty when only commits that cannot be tested are left, which `between` then names."""

    first_bad: str
    subject: str
    between: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step of a bisection is given: the plan's file, the tree that git moves, the session, the runs' folder, the executor."""

    plan: Path
    tree: Path
    session: str
    runs: Path
    executor: ExecutorKind | None = None


def read_step(file: Path) -> Step:
    """The step that a bisection wrote."""
    data = json.loads(file.read_text())
    return Step(
        plan=Path(data["plan"]),
        tree=Path(data["tree"]),
        session=data["session"],
        runs=Path(data["runs"]),
        executor=ExecutorKind(data["executor"]) if data["executor"] else None,
    )


def _write_step(file: Path, step: Step) -> None:
    file.write_text(json.dumps({name: str(value or "") for name, value in asdict(step).items()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Runs a plan through its own Nox session, here or in a tree of another commit.

    `say` gets a line for each thing that is done; with `for_people` the sessions' output is on standard error. `executor` is
    where it is done, None: the plan's own, on this machine.
    """

    repository: Path
    runs: Path
    session: str
    environ: Mapping[str, str]
    confirmations: int
    say: Say
    for_people: bool
    executor: ExecutorKind | None = None

    @property
    def _environ(self) -> Mapping[str, str]:
        return {**self.environ, "AMD_CI_RUNS": str(self.runs)}

    def nox(self, arguments: Sequence[str], tree: Path | None = None) -> int:
        """The session with these options, of our own tree or of another commit's; returns its exit code.

        Raises:
            InfrastructureError: there is neither nox nor uvx.
        """
        root = tree or self.repository
        argv = [
            *_launcher(self._environ),
            *("-f", str(root / "noxfile.py"), "--envdir", str(self.repository / ".nox")),
            *("-s", self.session, "--", *arguments),
        ]
        try:
            code = attached(
                argv,
                cwd=root,
                env=self._environ,
                stop_s=_STOP_S,
                poll_s=_POLL_S,
                for_people=self.for_people,
            )
        except OSError as error:
            raise InfrastructureError(f"cannot start {argv[0]}: {error.strerror}") from error
        return code if code >= 0 else int(ExitCode.INTERRUPTED)

    def plan(self, plan: Plan, tree: Path | None = None, *, as_saved: bool = False) -> int:
        """Run exactly this plan once; `as_saved`: also where it is not what its request gives. Returns the exit code."""
        return self.nox((*self.words(plan), *(("--as-saved",) if as_saved else ())), tree)

    def words(self, plan: Plan) -> tuple[str, ...]:
        """The session's options that run this plan.

        Raises:
            InfrastructureError: the plan cannot be written.
        """
        return ("--plan", str(self.write(plan)), *placing_words(plan, self.executor))

    def write(self, plan: Plan) -> Path:
        """The plan as a file that `--plan` reads.

        Raises:
            InfrastructureError: it cannot be written.
        """
        path = self.runs / ".plans" / f"{plan.work.stage}-{plan.digest[:12]}.json"
        with writing(path, then="name another folder: AMD_CI_RUNS=DIR"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(plan.text())
        return path

    def repeat(self, run: Callable[[], int], times: int) -> Repeated:
        """Run until it fails, at most so often; an infrastructure failure is not a failure of the code."""
        passed = unclear = 0
        code = int(ExitCode.OK)
        for number in range(1, times + 1):
            self.say(f"run {number} of {times}: {passed} passed, {unclear} unclear so far")
            code = run()
            if code in _GOOD:
                passed += 1
            elif code == ExitCode.INFRASTRUCTURE:
                unclear += 1
            else:
                return Repeated(runs=number, passed=passed, unclear=unclear, code=code)
        return Repeated(runs=times, passed=passed, unclear=unclear, code=code if not passed else 0)

    def bisect(self, plan: Plan, source: Path, good: str, bad: str) -> Bisected:
        """Find the first commit of `source` on which the plan fails. Its ends are tried first.

        Raises:
            UsageError: a commit is not known, `good` is not good, or `bad` is not bad.
            InfrastructureError: git fails.
        """
        first, last = (resolve_commit(source, revision) for revision in (good, bad))
        with work_tree(source, last, self.runs) as tree:
            for commit, wanted, name in ((last, 1, "BAD"), (first, 0, "GOOD")):
                self._git(tree, "checkout", "--quiet", "--detach", commit)
                self.say(f"bisect: {name} {commit[:12]} first")
                found = self.judge(plan, tree)
                if found != wanted:
                    raise UsageError(
                        f"{name} {commit[:12]} is {_JUDGED.get(found, 'cannot be tested')}",
                        cause="a bisection needs a commit on which the plan passes and one on which it always fails",
                        then="choose other commits; see how often it fails: --run --repeat 10",
                    )
            self._git(tree, "bisect", "start", last, first)
            file = tree.parent / "step.json"
            saved = self.write(plan)
            _write_step(
                file,
                Step(plan=saved, tree=tree, session=self.session, runs=self.runs, executor=self.executor),
            )
            # our own code, not that of the commit that is tried
            step = [sys.executable, "-P", "-m", "ci", "repro", "--bisect-step", str(file)]
            code = attached(
                ["git", "bisect", "run", *step],
                cwd=tree,
                env={**self._environ, "PYTHONPATH": str(self.repository)},
                stop_s=_STOP_S,
                poll_s=_POLL_S,
                for_people=self.for_people,
            )
            return self._result(tree, code)

    def judge(self, plan: Plan, tree: Path) -> int:
        """Whether the plan fails on a tree's commit, in the codes of `git bisect run`: 0 good, 1 bad, 125 neither, 128 stop.

        A first failure has to come again `confirmations` times before the commit is called bad.
        """
        commit = commit_of(tree).value
        here = at_commit(plan, commit, str(tree))
        ours = None if plan.work.checkout else tree
        times = 1 + self.confirmations
        for number in range(1, times + 1):
            # the same tests and bounds on each commit, whatever that commit says of them
            code = self.plan(here, ours, as_saved=True)
            if code == ExitCode.INTERRUPTED:
                return ABORT
            if code in _GOOD and number == 1:
                self.say(f"bisect: {commit[:12]} is good")
                return 0
            if code not in _BAD:
                why = "a flake" if code in _GOOD else f"exit code {code}"
                self.say(f"bisect: {commit[:12]} is left out: {why} in run {number} of {times}")
                return _SKIP
            self.say(f"bisect: {commit[:12]} failed in run {number} of {times} (exit code {code})")
        self.say(f"bisect: {commit[:12]} is bad")
        return 1

    def _git(self, tree: Path, *arguments: str) -> str:
        done = capture(["git", "-C", str(tree), *arguments], timeout_s=GIT_S)
        if done.code != 0:
            reason = done.why or done.stderr.decode(errors="replace").strip()
            raise InfrastructureError(
                f"git {arguments[0]} failed", cause=reason, then=f"git -C {tree} status"
            )
        return done.text

    def _result(self, tree: Path, code: int) -> Bisected:
        log = self._git(tree, "bisect", "log")
        left = tuple(
            line.partition("[")[2].partition("]")[0]
            for line in log.splitlines()
            if line.startswith("# possible first bad commit:")
        )
        if left:
            return Bisected(first_bad="", subject="", between=left)
        if code != 0:
            if code < 0 or code >= ABORT:
                raise KeyboardInterrupt
            raise InfrastructureError(f"git bisect run ended with {code}", cause="its output is above")
        found = self._git(tree, "rev-parse", "refs/bisect/bad")
        return Bisected(
            first_bad=found, subject=self._git(tree, "log", "-1", "--format=%s", found), between=()
        )


_JUDGED = {0: "good, the plan passes on it", 1: "bad, the plan fails on it each time"}


def _launcher(environ: Mapping[str, str]) -> list[str]:
    """Nox as it can be started here.

    Raises:
        InfrastructureError: it cannot.
    """
    path = environ.get("PATH", "")
    if nox := shutil.which("nox", path=path):
        return [nox]
    if uvx := shutil.which("uvx", path=path):
        return [uvx, "nox"]
    if uv := environ.get("UV"):
        return [uv, "tool", "run", "nox"]
    raise InfrastructureError("neither nox nor uvx is on the PATH", then="pip install uv, then try again")
