"""A small checkout with workflows, launch scripts, a registry and a suite runner in SGLang's manner."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from support.trees import write_sglang_tree

__all__ = ["GATE", "REGISTER", "RUNNER", "registered", "write_workflow_tree"]

GATE = ".github/workflows/pr-amd.yml"
REGISTER = """
from enum import Enum, auto


class HWBackend(Enum):
    AMD = auto()
    CUDA = auto()
    LOCAL = auto()


def register_amd_ci(est_time, suite=None, nightly=False, disabled=None, *, stage=None, runner_config=None):
    return None


REGISTER_MAPPING = {
    "register_amd_ci": HWBackend.AMD,
    "register_cuda_ci": HWBackend.CUDA,
    "register_local_ci": HWBackend.LOCAL,
}


def auto_partition(files, rank, size):
    ordered = sorted(files, key=lambda f: (-f.est_time, f.filename))
    parts = [[] for _ in range(size)]
    sums = [0.0] * size
    for file in ordered:
        lightest = min(range(size), key=sums.__getitem__)
        parts[lightest].append(file)
        sums[lightest] += file.est_time
    return parts[rank] if rank < size else []
"""
RUNNER = """
import argparse
import glob
import os

HERE = os.path.dirname(os.path.abspath(__file__))
PER_COMMIT_SUITES = {HWBackend.AMD: ["one-amd", "listed-amd"], HWBackend.CUDA: ["one"]}
NIGHTLY_SUITES = {HWBackend.AMD: ["nightly-amd"]}
_SUITE_CHECKED_BACKENDS = {HWBackend.CUDA}


def collect(args):
    top = os.path.dirname(HERE)
    files = [
        f
        for f in glob.glob(os.path.join(HERE, "registered", "**", "*.py"), recursive=True)
        if not f.endswith("/conftest.py") and os.path.basename(f) not in ("__init__.py",)
    ]
    files += glob.glob(os.path.join(top, "python", "kernels", "tests", "**", "test_*.py"), recursive=True)
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite")
    parser.add_argument("--timeout-per-file", type=int, default=1000)
    parser.add_argument("--max-attempts", type=int, default=2)
    parser.add_argument("--retry-wait-seconds", type=int, default=60)
"""
_GATE = """
name: Gate
on:
  pull_request:
  workflow_dispatch:
    inputs:
      pool:
        type: choice
        default: north
        options: [north, south]
permissions:
  contents: read
jobs:
  one:
    name: ${{ format('one-amd (linux-{0}-1gpu, {1})', inputs.pool || 'south', matrix.part) }}
    needs: [gate]
    strategy:
      matrix:
        part: [0, 1]
    runs-on: ${{ format('linux-{0}-1gpu', inputs.pool || 'south') }}
    steps:
      - run: bash scripts/ci/amd/amd_ci_start_container.sh
      - name: Test
        timeout-minutes: ${{ (inputs.pool || 'south') == 'south' && 50 || 40 }}
        run: |
          bash scripts/ci/amd/amd_ci_exec.sh -e A_VARIABLE=1 \\
            python3 run_suite.py --hw amd --suite one-amd \\
            --auto-partition-id ${{ matrix.part }} --auto-partition-size 2 \\
            --timeout-per-file 900 ${{ needs.gate.outputs.go_on == 'true' && '--continue-on-error' || '' }}
  gate:
    uses: ./.github/workflows/gate.yml
    permissions: {}
"""
_NIGHTLY = """
name: Nightly
on: { schedule: [{ cron: "0 1 * * *" }] }
jobs:
  nightly-two:
    runs-on: linux-south-2gpu
    timeout-minutes: 100
    steps:
      - run: bash scripts/ci/amd/amd_ci_start_container.sh --rocm-version rocm720
      - name: Both
        timeout-minutes: 30
        run: |
          bash scripts/ci/amd/amd_ci_exec.sh -w /sglang-checkout/test -e BACKEND=one python3 run_suite.py --hw amd --suite nightly-amd --nightly
          bash scripts/ci/amd/amd_ci_exec.sh -w /sglang-checkout/test -e BACKEND=two python3 run_suite.py --hw amd --suite nightly-amd --nightly --enable-retry
      - name: Alone
        run: docker exec -w /sglang-checkout/test ci python3 -m pytest registered/x/test_alone.py
  publish:
    runs-on: ubuntu-latest
    steps:
      - run: python3 docker/build.py
"""
_CALLED = """
name: Called
on: { workflow_call: }
jobs:
  look:
    runs-on: ubuntu-latest
    steps: [{ run: "true" }]
"""


def registered(*calls: str) -> str:
    """A test file with registrations, e.g. `amd(est_time=10, suite="one-amd")`."""
    lines = "\n".join(f"register_{call.replace('(', '_ci(', 1)}" for call in calls)
    return f"import unittest\n\n{lines}\n\n\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        pass\n\n\nif __name__ == '__main__':\n    unittest.main()\n"


def write_workflow_tree(tree: Path, files: Mapping[str, str] | None = None) -> Path:
    """The checkout; `files` by relative path are added or put in the place of its own."""
    own = {
        "python/sglang/test/ci/ci_register.py": REGISTER,
        "test/run_suite.py": RUNNER,
        "scripts/ci/amd/amd_ci_exec.sh": 'WORKDIR="/sglang-checkout/test"\n',
        "scripts/ci/amd/amd_ci_start_container.sh": '#!/bin/bash\nROCM_VERSION="rocm700"\n',
        GATE: _GATE,
        ".github/workflows/nightly-amd.yml": _NIGHTLY,
        ".github/workflows/gate.yml": _CALLED,
        "test/registered/x/test_first.py": registered('amd(est_time=30, suite="one-amd")'),
        "test/registered/x/test_second.py": registered(
            'amd(est_time=20, suite="one-amd")', 'cuda(5, suite="one")'
        ),
        "test/registered/x/test_third.py": registered('amd(est_time=20, suite="one-amd")'),
        "test/registered/x/test_alone.py": registered(
            'amd(est_time=20, suite="nightly-amd", nightly=True)', 'local(5, suite="elsewhere")'
        ),
        "test/registered/x/test_unlisted.py": registered('local(5, suite="elsewhere")'),
    }
    return write_sglang_tree(
        tree, {file: textwrap.dedent(text) for file, text in {**own, **(files or {})}.items()}
    )
