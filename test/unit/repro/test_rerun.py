"""Doing it again: how often, what counts as the code's failure, and what a bisection makes of an exit code."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import ExitCode, InfrastructureError, UsageError
from ci.plan.facts import Known
from ci.plan.model import Plan
from ci.repro.rerun import ABORT, Again, Step, _write_step, read_step
from support.files import git
from support.planning import catalog, on_cluster, planned, registration, request
from support.shard_plans import shard_plan

SKIP = 125


class Sessions:
    """Nox in this test: it notes what it is called with and ends with one code after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: Path) -> None:
        self.codes: list[int] = []
        self.calls: list[tuple[list[str], Path]] = []
        self.environ: dict[str, str] = {}
        self.lines: list[str] = []
        monkeypatch.setattr("ci.repro.rerun.attached", self._attached)
        monkeypatch.setattr("ci.repro.rerun.commit_of", lambda _tree: Known(value="d" * 40, source="git"))
        monkeypatch.setattr("shutil.which", lambda name, path: f"/bin/{name}" if name in path else None)
        self.again = self.of("nox", runs)

    def of(self, path: str, runs: Path, **environ: str) -> Again:
        return Again(
            repository=Path("/repository"),
            runs=runs,
            session="stage_b_amd",
            environ={"PATH": path, **environ},
            confirmations=2,
            say=self.lines.append,
            for_people=False,
        )

    def _attached(self, argv: Sequence[str], *, cwd: Path, env: dict[str, str], **_how: Any) -> int:
        self.calls.append((list(argv), cwd))
        self.environ = env
        code = self.codes.pop(0)
        if code > 1000:
            raise FileNotFoundError(2, "No such file or directory")
        return code


def cluster_plan() -> Plan:
    rows = [registration("test/a.py")]
    return planned(catalog(), on_cluster(rows, "laptop"), request(executor=ExecutorKind.SLURM))


@pytest.fixture
def nox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sessions:
    return Sessions(monkeypatch, tmp_path / "runs")


class TestOneRun:
    @pytest.mark.parametrize("executor", [None, *ExecutorKind])
    def test_a_plan_of_a_cluster_is_repeated_here_unless_another_executor_is_named(
        self, nox: Sessions, executor: ExecutorKind | None
    ) -> None:
        nox.codes = [0]
        replace(nox.again, executor=executor).plan(cluster_plan())
        ((argv, _),) = nox.calls
        assert argv[-2:] == ["--executor", executor or ExecutorKind.HOST]
        assert json.loads(Path(argv[-3]).read_text())["placement"]["executor"] == "slurm"

    def test_a_plan_is_run_by_its_own_session_in_the_tree_of_its_commit(
        self, nox: Sessions, tmp_path: Path
    ) -> None:
        nox.codes = [1]
        assert nox.again.plan(shard_plan(), Path("/tree")) == 1
        ((argv, cwd),) = nox.calls
        assert argv[:3] == ["/bin/nox", "-f", "/tree/noxfile.py"]
        assert argv[argv.index("--envdir") + 1] == "/repository/.nox", "environments are made once"
        assert argv[-5:-1] == ["-s", "stage_b_amd", "--", "--plan"]
        assert cwd == Path("/tree")
        file = Path(argv[-1])
        assert Plan.from_json(json.loads(file.read_text()), where="file") == shard_plan()
        assert nox.environ["AMD_CI_RUNS"] == str(tmp_path / "runs")

    @pytest.mark.parametrize(
        ("path", "environ", "launcher"),
        [
            ("nox uvx", {}, ["/bin/nox"]),
            ("uvx", {}, ["/bin/uvx", "nox"]),
            ("", {"UV": "/opt/uv"}, ["/opt/uv", "tool", "run", "nox"]),
        ],
    )
    def test_nox_is_started_by_what_is_there(
        self, nox: Sessions, tmp_path: Path, path: str, environ: dict[str, str], launcher: list[str]
    ) -> None:
        nox.codes = [0]
        nox.of(path, tmp_path, **environ).nox(())
        assert nox.calls[0][0][: len(launcher)] == launcher

    def test_without_any_of_them_the_way_to_one_is_named(self, nox: Sessions, tmp_path: Path) -> None:
        with pytest.raises(InfrastructureError) as caught:
            nox.of("", tmp_path).nox(())
        assert "pip install uv" in caught.value.render()

    def test_a_session_that_a_signal_ended_is_an_interrupt(self, nox: Sessions) -> None:
        nox.codes = [-15]
        assert nox.again.nox(()) == ExitCode.INTERRUPTED

    def test_one_that_cannot_be_started_is_infrastructure(self, nox: Sessions) -> None:
        nox.codes = [9999]
        with pytest.raises(InfrastructureError, match="cannot start /bin/nox: No such file"):
            nox.again.nox(())

    def test_a_plan_that_cannot_be_written_names_another_folder(self, nox: Sessions, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InfrastructureError) as caught:
            nox.of("nox", tmp_path / "file").plan(shard_plan())
        assert "AMD_CI_RUNS=DIR" in caught.value.render()


class TestRepeating:
    @pytest.mark.parametrize(
        ("codes", "times", "words", "code"),
        [
            ([0, 0, 1], 5, "failed in run 3 (exit code 1), 2 passed before it", 1),
            ([0, 4, 5], 5, "failed in run 3 (exit code 5), 1 passed before it, 1 of the others were", 5),
            ([0, 0, 0], 3, "3 of 3 runs passed, none failed", 0),
            ([0, 4], 2, "1 of 2 runs passed, none failed, 1 of the others were infrastructure failures", 0),
            ([4, 4], 2, "0 of 2 runs passed, none failed, 2 of the others", 4),
        ],
    )
    def test_it_ends_at_the_first_failure_of_the_code(
        self, nox: Sessions, codes: list[int], times: int, words: str, code: int
    ) -> None:
        left = list(codes)
        repeated = nox.again.repeat(lambda: left.pop(0), times)
        assert left == []
        assert words in repeated.words
        assert repeated.code == code
        assert len(nox.lines) == len(codes)

    def test_an_interrupt_or_a_usage_error_ends_it_too(self, nox: Sessions) -> None:
        assert nox.again.repeat(lambda: int(ExitCode.INTERRUPTED), 5).runs == 1
        assert nox.again.repeat(lambda: int(ExitCode.USAGE), 5).runs == 1


class TestACommitOfABisection:
    @pytest.mark.parametrize(
        ("codes", "judged", "said"),
        [
            ([0], 0, "is good"),
            ([1, 1, 1], 1, "is bad"),
            ([8, 5, 6], 1, "is bad"),
            ([1, 0], SKIP, "left out: a flake in run 2 of 3"),
            ([1, 4], SKIP, "left out: exit code 4 in run 2 of 3"),
            ([2], SKIP, "left out: exit code 2 in run 1 of 3"),
            ([130], ABORT, ""),
            ([1, -2], ABORT, "failed in run 1 of 3"),
        ],
    )
    def test_bad_is_only_what_fails_each_time(
        self, nox: Sessions, codes: list[int], judged: int, said: str
    ) -> None:
        nox.codes = list(codes)
        assert nox.again.judge(shard_plan(), Path("/tree")) == judged
        assert nox.codes == []
        assert said in " ".join(nox.lines)

    def test_the_plan_is_of_the_commit_and_run_by_its_own_code(self, nox: Sessions) -> None:
        nox.codes = [0]
        nox.again.judge(shard_plan(), Path("/tree"))
        ((argv, _),) = nox.calls
        assert "/tree/noxfile.py" in argv
        assert argv[-1] == "--as-saved", "with the same bounds on each commit"
        assert json.loads(Path(argv[-2]).read_text())["work"]["commit"] == "d" * 40

    def test_of_sglangs_tree_it_is_our_code_on_another_tree(self, nox: Sessions) -> None:
        nox.codes = [0]
        plan = shard_plan()
        nox.again.judge(replace(plan, work=replace(plan.work, checkout="c" * 40)), Path("/tree"))
        ((argv, _),) = nox.calls
        assert "/repository/noxfile.py" in argv
        data = json.loads(Path(argv[-2]).read_text())
        assert (data["work"]["checkout"], data["placement"]["root"]) == ("d" * 40, "/tree")


def test_a_step_comes_back_from_its_file(tmp_path: Path) -> None:
    step = Step(plan=Path("/p.json"), tree=Path("/t"), session="s", runs=Path("/r"))
    for each in (step, replace(step, executor=ExecutorKind.SLURM)):
        _write_step(tmp_path / "step.json", each)
        assert read_step(tmp_path / "step.json") == each


@pytest.mark.processes
class TestABisection:
    """With a real git, of four commits; a commit fails when its file says so."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> "History":
        return History(tmp_path / "source")

    def test_ends_that_are_not_what_was_said_are_refused_before_the_search(
        self, nox: Sessions, source: "History"
    ) -> None:
        nox.codes = [0]
        with pytest.raises(UsageError) as caught:
            nox.again.bisect(shard_plan(), source.path, source.commits[0], source.commits[3])
        assert f"BAD {source.commits[3][:12]} is good" in caught.value.render()
        nox.codes = [1, 1, 1, 1, 1, 1]
        with pytest.raises(UsageError) as caught:
            nox.again.bisect(shard_plan(), source.path, source.commits[0], source.commits[3])
        assert f"GOOD {source.commits[0][:12]} is bad" in caught.value.render()
        assert source.trees() == 1, "the work tree is removed"

    def test_a_commit_that_is_not_there_is_refused(self, nox: Sessions, source: "History") -> None:
        with pytest.raises(UsageError, match="has no commit 'nowhere'"):
            nox.again.bisect(shard_plan(), source.path, "nowhere", source.commits[3])


class History:
    """A repository with four commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git(path, "init", "--quiet")
        self.commits = []
        for number in range(4):
            (path / "file").write_text(str(number))
            git(path, "add", "file")
            git(path, "commit", "--quiet", "-m", f"commit {number}")
            self.commits.append(git(path, "rev-parse", "HEAD"))

    def trees(self) -> int:
        return len(git(self.path, "worktree", "list").splitlines())
