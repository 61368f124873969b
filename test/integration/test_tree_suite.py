"""A suite that only a checkout knows, from its job's name to its end, through the real Nox on this host."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from subprocess import CompletedProcess, run  # a test of whole programs starts them

import pytest

from support.workflow_trees import RUNNER, registered, write_workflow_tree

REPOSITORY = Path(__file__).parents[2]
SUITE = "stage-c-fresh-amd"
JOB = "fresh (linux-mi300-1gpu-sglang)"
WORKFLOW = f"""
name: Fresh
on: [pull_request]
jobs:
  fresh:
    name: {JOB}
    runs-on: linux-mi300-1gpu-sglang
    steps:
      - timeout-minutes: 5
        run: |
          bash scripts/ci/amd/amd_ci_exec.sh -e FRESH_VARIABLE=7 python3 run_suite.py --hw amd --suite {SUITE} \\
            --timeout-per-file 90
"""
# it passes only with the variable of the job's command, beside a module of the checkout
IMPORTS = "from sglang.test.ci.ci_register import register_amd_ci\n"
TEST = IMPORTS + registered(f'amd(est_time=5, suite="{SUITE}")').replace(
    "        pass\n",
    "        import os, sys\n        from pathlib import Path\n"
    "        self.assertEqual(os.environ['FRESH_VARIABLE'], '7')\n"
    "        import fresh_package\n        self.assertTrue(Path(fresh_package.__file__).is_file())\n",
)
FAILING = IMPORTS + registered(f'amd(est_time=3, suite="{SUITE}")').replace(
    "        pass\n", "        self.fail('on purpose')\n"
)

PROJECT = """
[project]
name = "sglang"
version = "0.5.99"
dependencies = ["transformers==5.12.1"]
[project.scripts]
sglang = "sglang.cli.main:main"
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        ".github/workflows/fresh-amd.yml": WORKFLOW,
        "test/run_suite.py": RUNNER.replace('"listed-amd"', f'"listed-amd", "{SUITE}"'),
        "test/registered/fresh/test_passes.py": TEST,
        "test/registered/fresh/test_fails.py": FAILING,
        "python/fresh_package/__init__.py": "",
        "python/pyproject.toml": PROJECT,
        # as much of SGLang as is asked for before a test begins
        "python/sglang/__init__.py": '__version__ = "0.5.99"\n',
        "python/sglang/srt/__init__.py": "",
        "python/sglang/srt/server_args.py": "",
        "python/torch/__init__.py": "from torch import cuda\n",
        "python/torch/cuda.py": "def is_available():\n    return False\n",
    }
    return write_workflow_tree(tmp_path_factory.mktemp("sglang") / "tree", files)


def call(words: list[str], runs: Path) -> CompletedProcess[str]:
    """A program of the environment that these tests run in."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = shutil.which(words[0], path=path)
    assert program
    outer = ("NOX", "UV_PROJECT", "VIRTUAL_ENV", "PYTEST", "PYTHON", "AMD_CI", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    environ = {**kept, "PATH": path, "AMD_CI_RUNS": str(runs)}
    return run(
        [program, *words[1:]],
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_it_is_listed_repeated_by_its_jobs_name_and_run(tree: Path, tmp_path: Path) -> None:
    words = ["nox", "-s", "stage_c_amd", "--", "--checkout", str(tree), "--suite", SUITE]
    listed = call([*words, "--list"], tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert [line.partition("\t")[0] for line in listed.stdout.splitlines()] == [
        "test/registered/fresh/test_passes.py",
        "test/registered/fresh/test_fails.py",
    ]

    repro = call(["./inv", "repro", JOB, "--checkout", str(tree), "--json"], tmp_path)
    assert repro.returncode == 0, repro.stderr
    line = json.loads(repro.stdout)["lines"]["the original command"]
    assert line == shlex.join(["nox", "-s", "stage_c_amd", "--", "--suite", SUITE, "--checkout", str(tree)])

    here = ["--hardware", "cpu", "--engine", "sglang", "--python", sys.executable]
    ran = call([*shlex.split(line), *here], tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (file,) = tmp_path.glob("*/events.jsonl")
    events = [json.loads(row) for row in file.read_text().splitlines()]
    ended = {Path(event["test"]).name: event["outcome"] for event in events if event["type"] == "test-ended"}
    assert ended == {"test_passes.py": "passed", "test_fails.py": "failed"}
