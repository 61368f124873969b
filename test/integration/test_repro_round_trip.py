"""`./inv repro`: the plan of a real run comes back whole from its folder and from its logs, and is run again."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.execute.run_folder import read_plan
from ci.plan.model import Plan
from ci.repro.understand import from_log
from support.files import (
    REPOSITORY,
    Ended,
    child_env,
    ci,
    copy_repository,
    git,
    only_tests,
    registered,
    set_limits,
)

A, B = "stage-a-test-1-gpu-small-amd", "stage-b-test-1-gpu-small-amd"
C, NIGHTLY = "stage-c-test-4-gpu-amd", "nightly-amd-8-gpu-mi35x-deepseek-v4-flash"
PASSES = "def test_it() -> None:\n    assert True\n"
FAILS = "def test_it() -> None:\n    assert 1 == 2\n"
TESTS = {
    "a/test_one.py": registered(PASSES, suite=A),
    "a/test_red.py": registered(FAILS, suite=A),
    "b/test_one.py": registered(PASSES, suite=B, est_time=50),
    "b/test_two.py": registered(PASSES, suite=B, est_time=40),
    "b/test_red.py": registered(FAILS, suite=B, est_time=30),
    "c/test_one.py": registered(PASSES, suite=C),
    "n/test_one.py": registered(PASSES, suite=NIGHTLY).replace(
        f'suite="{NIGHTLY}"', f'suite="{NIGHTLY}", nightly=True'
    ),
}
QUARANTINE = """
[[quarantine]]
test = "test/registered/b/test_red.py"
hardware = ["cpu"]
reason = "a test of this table"
issue = "https://github.com/sgl-project/sglang/pull/23156"
since = 2026-04-21
expires = 2099-01-01
"""
SMALL = ("stage-b-amd", "--suite", "1-gpu-small")
# stage x shard x environment x quarantine, with what else changes a plan
RUNS: tuple[tuple[str, ...], ...] = (
    ("stage-a-amd",),
    ("stage-a-amd", "--fail-fast", "--test", "a/test_red.py"),
    ("stage-a-amd", "--test", "a/test_one.py"),
    ("stage-a-amd", "--test", "a/test_red.py::test_it"),
    ("stage-a-amd", "--env", "SGLANG_X=1", "--", "-k", "test_it"),
    ("stage-a-amd", "--env", "SGLANG_X=ü ' \" $HOME", "--env", "SGLANG_Y=", "--test", "test_one.py"),
    SMALL,
    (*SMALL, "--shard", "2/3", "--env", "SGLANG_X=1"),
    (*SMALL, "--shard", "1/14"),
    (*SMALL, "--shard", "3/14"),
    (*SMALL, "--shard", "9/14", "--env", "SGLANG_X=1"),
    (*SMALL, "--shard", "14/14"),
    (*SMALL, "--shard", "2/2"),
    (*SMALL, "--test", "b/test_two.py"),
    ("stage-b-amd", "--test", "b/test_red.py"),
    (*SMALL, "--shard", "2/14", "--jobs", "2"),
    ("stage-c-amd",),
    ("stage-c-amd", "--env", "NCCL_DEBUG=INFO", "--suite", C),
    ("nightly-dsv4-amd",),
    ("nightly-dsv4-amd", "--env", "SGLANG_X=1", "--suite", "deepseek-v4-flash", "--shard", "2/3"),
)


@dataclass(frozen=True)
class Done:
    """A run that has ended: its folder and what it printed."""

    arguments: tuple[str, ...]
    folder: Path
    log: str
    code: int


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_repository(tmp_path_factory.mktemp("repro") / "repository")
    only_tests(copy, TESTS)
    (copy / "ci/catalog/quarantine.toml").write_text(QUARANTINE)
    set_limits(copy, {"agent.settle_s": 0.05})
    git(copy, "commit", "-qam", "rows")
    return copy


def run_one(number: int, repository: Path, folder: Path) -> Done:
    """Every second run believes that it is in Actions."""
    runs = folder / f"runs-{number}"
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "schedule",
        "GITHUB_WORKSPACE": str(repository.parent),
    }
    arguments = RUNS[number]
    done = ci(
        *("run", arguments[0], "--hardware", "cpu", *arguments[1:]),
        runs=runs,
        cwd=repository,
        env=github if number % 2 else {},
    )
    (made,) = (entry for entry in runs.iterdir() if not entry.name.startswith("."))
    return Done(arguments, made, done.text, done.code)


@pytest.fixture(scope="module")
def runs(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, ...]:
    folder = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(pool.map(lambda number: run_one(number, repository, folder), range(len(RUNS))))


def decorated(log: str) -> str:
    """As GitHub hands a job's log out: a time before each line, and workflow commands in its own form."""
    lines = [
        re.sub(r"^::(group|error|warning|notice)( [^:]*)?::", r"##[\1]", line) for line in log.splitlines()
    ]
    return "\ufeff" + "".join(
        f"2026-05-29T07:12:03.1234567Z {line}\r\n" for line in lines if line != "::endgroup::"
    )


def digest_of(log: str) -> str:
    plan = from_log(log, load_catalog(), where="log").plan
    assert plan is not None
    return plan.digest


def test_twenty_runs_come_back_from_folder_log_and_decorated_log(runs: tuple[Done, ...]) -> None:
    assert len({read_plan(done.folder).digest for done in runs}) == len(RUNS)
    for done in runs:
        stated = json.loads((done.folder / "plan.json").read_text())["digest"]
        assert read_plan(done.folder).digest == stated, done.arguments
        assert digest_of(done.log) == stated, done.arguments
        assert digest_of(decorated(done.log)) == stated, done.arguments
        assert done.log.count("amd-ci-capsule 1 ") == 2, done.arguments


def test_a_log_without_its_start_or_without_its_end_is_enough(runs: tuple[Done, ...]) -> None:
    done = runs[6]
    stated = read_plan(done.folder).digest
    first, last = (done.log.index("amd-ci-capsule"), done.log.rindex("amd-ci-capsule"))
    assert digest_of(done.log[: last - 1]) == stated
    assert digest_of(done.log[first + 100 :]) == stated


def test_the_failed_tests_of_a_run_are_known_from_its_log(runs: tuple[Done, ...]) -> None:
    for log in (runs[0].log, decorated(runs[0].log)):
        assert from_log(log, load_catalog(), where="log").failed_nodes == ("test/registered/a/test_red.py",)
    # quarantined: it failed and gates nothing
    assert from_log(runs[6].log, load_catalog(), where="log").failed_nodes == ()


def test_a_failed_run_ends_with_the_line_that_repeats_it(runs: tuple[Done, ...]) -> None:
    for done in runs:
        last = done.log.rstrip().splitlines()[-1]
        if done.code:
            assert last.startswith("repeat it: nox -s "), done.arguments
        else:
            assert not last.startswith("repeat it:"), done.arguments


# --- through the command ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `nox` that starts what the session would start, on this Python: environments are another test's matter."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "nox"
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "file = sys.argv[sys.argv.index('-f') + 1]\n"
        "at = sys.argv.index('-s')\n"
        "stage, rest = sys.argv[at + 1].replace('_', '-'), sys.argv[at + 3:]\n"
        "with open(os.environ['NOX_RECORD'], 'a') as record:\n    record.write(' '.join(rest) + '\\n')\n"
        "os.chdir(os.path.dirname(file))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'ci', 'run', stage, *rest])\n"
    )
    script.chmod(0o755)
    return folder


def repro(*arguments: str, cwd: Path, runs: Path, shim: Path, stdin: str = "") -> Ended:
    env = child_env(runs)
    env |= {"PATH": f"{shim}:{env['PATH']}", "NOX_RECORD": str(runs.parent / "record")}
    done = subprocess.run(
        [sys.executable, "tasks.py", "repro", *arguments],
        cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_log_from_standard_input_gives_the_plan_and_the_lines(
    runs: tuple[Done, ...], repository: Path, shim: Path, tmp_path: Path
) -> None:
    done = repro(
        "-", "--json", cwd=repository, runs=tmp_path / "runs", shim=shim, stdin=decorated(runs[9].log)
    )
    assert done.code == 0, done.text
    report = json.loads(done.out)
    assert report["digest"] == read_plan(runs[9].folder).digest
    words = report["lines"]["the same plan"].split()
    assert words[:5] == ["nox", "-s", "stage_b_amd", "--", "--plan"]
    assert read_plan(Path(words[5])).digest == report["digest"]
    assert report["lines"]["the original command"].endswith("--suite 1-gpu-small --shard 3/14")


def test_run_repeats_the_same_plan_and_only_the_failed_tests(
    runs: tuple[Done, ...], repository: Path, shim: Path, tmp_path: Path
) -> None:
    where = tmp_path / "runs"
    done = repro(
        str(runs[0].folder),
        "--run",
        "--failed",
        "--repeat",
        "3",
        "--json",
        cwd=repository,
        runs=where,
        shim=shim,
    )
    assert done.code == 1, done.text
    report = json.loads(done.out)
    assert report["runs"] == {"runs": 1, "passed": 0, "unclear": 0, "code": 1}
    (made,) = (entry for entry in where.iterdir() if not entry.name.startswith("."))
    again = read_plan(made)
    assert [test.id for suite in again.work.suites for test in suite.tests] == [
        "test/registered/a/test_red.py"
    ]
    assert again.digest == report["digest"]


def test_a_log_that_was_cut_says_what_is_missing(
    runs: tuple[Done, ...], repository: Path, shim: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    start = runs[9].log.index("amd-ci-capsule")
    log.write_text(runs[9].log[: start + 900])
    done = repro(str(log), cwd=repository, runs=tmp_path / "runs", shim=shim)
    assert done.code == 0, done.text
    assert "missing: " in done.out
    assert "was cut after" in done.out
    assert "1-gpu-small" in done.out


@pytest.mark.parametrize("damage", ["checksum", "version"])
def test_a_bad_capsule_is_exit_2_with_what_was_understood(
    runs: tuple[Done, ...], repository: Path, shim: Path, tmp_path: Path, damage: str
) -> None:
    log = tmp_path / "log"
    line = next(line for line in runs[9].log.splitlines() if "amd-ci-capsule" in line)
    old, new = ("amd-ci-capsule 1 ", "amd-ci-capsule 9 ") if damage == "version" else (line[-4:], "AAAA")
    log.write_text(line.replace(old, new))
    done = repro(str(log), cwd=repository, runs=tmp_path / "runs", shim=shim)
    assert done.code == 2, done.text
    assert "stage-b-amd" in done.out
    assert "error (exit 2)" in done.err


def test_bisect_finds_the_commit_and_leaves_the_users_tree_alone(shim: Path, tmp_path: Path) -> None:
    repository = copy_repository(tmp_path / "repository")
    only_tests(
        repository, {"a/test_value.py": registered("def test_it() -> None:\n    assert 1 == 1\n", suite=A)}
    )
    set_limits(repository, {"agent.settle_s": 0.05, "policy.bisect_confirmations": 1})
    git(repository, "commit", "-qam", "good")
    good = git(repository, "rev-parse", "HEAD")
    test = repository / "test/registered/a/test_value.py"
    commits = []
    for number, (old, new) in enumerate((("1 == 1", "1 == 2"), ("1 == 2", "1 == 3"))):
        (repository / "README.md").write_text(f"before {number}\n")
        git(repository, "commit", "-qam", f"harmless {number}")
        test.write_text(test.read_text().replace(old, new))
        git(repository, "commit", "-qam", f"breaks {number}")
        commits.append(git(repository, "rev-parse", "HEAD"))
    runs = tmp_path / "runs"
    red = ci("run", "stage-a-amd", "--hardware", "cpu", runs=runs, cwd=repository)
    assert red.code == 1, red.text
    (folder,) = (entry for entry in runs.iterdir() if not entry.name.startswith("."))
    (repository / "notes").write_text("the user's own\n")

    done = repro(
        str(folder), "--run", "--bisect", f"{good}..HEAD", "--json", cwd=repository, runs=runs, shim=shim
    )
    assert done.code == 0, done.text
    assert json.loads(done.out)["bisect"]["first_bad"] == commits[0], done.text
    assert f"{commits[0][:12]} failed in run 2 of 2" in done.err
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "status", "--porcelain") == "?? notes"
    assert git(repository, "rev-parse", "HEAD") == commits[1]
    assert not list((runs / ".trees").iterdir())


def test_this_repositorys_head_is_compared_with_the_plans(
    runs: tuple[Done, ...], shim: Path, tmp_path: Path
) -> None:
    plan: Plan = read_plan(runs[0].folder)
    done = repro(str(runs[0].folder), cwd=REPOSITORY, runs=tmp_path / "runs", shim=shim)
    assert done.code == 0, done.text
    assert f"git worktree add ../amd-ci-{plan.work.commit[:12]} {plan.work.commit}" in done.out
