"""`nox -s amd_coverage` on a small tree."""

import json
from pathlib import Path

import pytest

from ci.cli.amd_coverage import amd_coverage
from ci.errors import UsageError
from support.trees import write_sglang_tree

MAIN = '\nif __name__ == "__main__":\n    unittest.main()\n'
PR = """
on: pull_request
jobs:
  small-amd:
    runs-on: linux-mi325-1gpu-sglang
    strategy:
      matrix:
        part: [0, 1, 2]
    steps:
      - run: bash scripts/ci/amd/amd_ci_exec.sh python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd --auto-partition-id ${{ matrix.part }} --auto-partition-size 3
"""


def write(tree: Path, *amd: str) -> str:
    def test(name: str) -> str:
        lines = ['register_cuda_ci(est_time=40, suite="base-b-test-1-gpu-small")']
        if name in amd:
            lines.append('register_amd_ci(est_time=60, suite="stage-b-test-1-gpu-small-amd")')
        return "\n".join(["import torch", *lines, "def test_it(): pass", MAIN])

    files = {f"test/registered/core/test_{name}.py": test(name) for name in ("a", "b", "c", "d", "new")}
    files["test/registered/core/test_other.py"] = "import hopperlib\n" + test("other")
    files[".github/workflows/pr-test-amd.yml"] = PR
    return str(write_sglang_tree(tree, files))


def test_it_lists_what_could_be_added_with_its_line_and_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert amd_coverage(["--checkout", write(tmp_path / "tree", "a", "b", "c", "d")]) == 0
    out = capsys.readouterr().out
    assert "4 of 6 (66.7%) CUDA tests run on AMD too" in out
    assert out.index("core/test_new.py") < out.index("core/test_other.py")
    assert "-40 hopperlib" in out
    assert out.count('register_amd_ci(est_time=60, suite="stage-b-test-1-gpu-small-amd")') == 1


def test_for_machines_it_has_everything_and_the_parts_are_the_trees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    amd_coverage(["--checkout", write(tmp_path / "tree", "a", "b", "c", "d"), "--json"])
    first, _ = json.loads(capsys.readouterr().out)["candidates"]
    assert (first["file"], first["after_line"]) == ("test/registered/core/test_new.py", 2)
    assert first["before"]["shards"] == 3


def test_a_later_tree_judges_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now, later = (
        write(tmp_path / "now", "a", "b", "c", "d"),
        write(tmp_path / "later", "a", "b", "c", "d", "new"),
    )
    amd_coverage(["--checkout", now, "--backtest", later])
    out = capsys.readouterr().out
    assert "2 tests ran for CUDA alone" in out
    assert "recall in the first 80: 100% (1 of 1)" in out


def test_without_a_tree_it_says_how() -> None:
    with pytest.raises(UsageError, match="no tree given"):
        amd_coverage([])
