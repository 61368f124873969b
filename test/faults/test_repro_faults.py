"""`./inv repro` when it is ended in the middle: tests, Nox and work trees are gone, at once or with the next call."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import (
    child_env,
    copy_repository,
    git,
    only_tests,
    processes_of,
    registered,
    set_limits,
    wait_for,
)

# good, then slow enough to be met while `git bisect run` tries it, then bad
GOOD = "def test_it() -> None:\n    assert True\n"
SLOW = "def test_it() -> None:\n    import time\n\n    time.sleep(60)\n"
BAD = "def test_it() -> None:\n    assert False\n"
NOX = """#!{python}
import os, sys
os.chdir(os.path.dirname(sys.argv[sys.argv.index('-f') + 1]))
stage = sys.argv[sys.argv.index('-s') + 1].replace('_', '-')
rest = sys.argv[sys.argv.index('--') + 1:]
os.execv(sys.executable, [sys.executable, '-m', 'ci', 'run', stage, *rest])
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_repository(tmp_path_factory.mktemp("repro-faults") / "repository")
    only_tests(copy, {"a/test_slow.py": registered(GOOD)})
    rows = {"agent.stop_int_grace_s": 0.2, "agent.stop_term_grace_s": 0.2, "agent.settle_s": 0.05}
    set_limits(copy, {**rows, "policy.bisect_confirmations": 0})
    git(copy, "commit", "-qam", "rows")
    for body in (SLOW, BAD):
        (copy / "test/registered/a/test_slow.py").write_text(registered(body))
        git(copy, "commit", "-qam", "another")
    return copy


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_bisection_that_is_ended_leaves_nothing(
    repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    runs, shim = tmp_path / "runs", tmp_path / "bin"
    shim.mkdir()
    (shim / "nox").write_text(NOX.format(python=sys.executable))
    (shim / "nox").chmod(0o755)
    env = child_env(runs)
    env["PATH"] = f"{shim}:{env['PATH']}"
    env["AMD_CI_MARK"] = mark = f"mark-{os.getpid()}-{number}"
    verb = [sys.executable, "tasks.py", "repro"]
    plan = tmp_path / "plan.json"
    made = [sys.executable, "-m", "ci", "plan", "stage_a_amd", "--hardware", "cpu", "--json"]
    plan.write_bytes(subprocess.run(made, cwd=repository, env=env, capture_output=True, check=True).stdout)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*verb, str(plan), "--run", "--bisect", "HEAD~2..HEAD"],
            cwd=repository, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(
                "the slow commit",
                lambda: (
                    "start 1/1" in (tmp_path / "log").read_text().partition("GOOD")[2].partition("is good")[2]
                ),
            )
            os.kill(process.pid, number)
            code = process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()
    wait_for("the end of everything", lambda: not processes_of(mark), 30)
    if number is signal.SIGKILL:
        # what the kernel could not remove for us, the next call does
        assert len(list((runs / ".trees").iterdir())) == 1
        done = subprocess.run(
            [*verb, str(plan)],
            cwd=repository,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "removed the work tree" in done.stderr, done.stderr
    else:
        assert code == 130, (tmp_path / "log").read_text()
    assert not list((runs / ".trees").iterdir())
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "status", "--porcelain") == ""
