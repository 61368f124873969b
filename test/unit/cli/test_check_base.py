"""`nox -s check -- --checkout PATH --base REF`: what a tree has lost or loosened since a commit of it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.cli.main import main
from support.files import git
from support.trees import write_sglang_tree

RUNNER = """
import glob
def run(parser):
    files = glob.glob("registered/**/*.py", recursive=True)
    parser.add_argument("--timeout-per-file", default=1200)
"""
pytestmark = pytest.mark.processes
SMALL, LARGE = "stage-b-small-amd", "stage-b-large-amd"


def one_test(*calls: str, body: str = "pass", name: str = "test_it") -> str:
    lines = [
        "import unittest",
        *calls,
        "class TestIt(unittest.TestCase):",
        f"    def {name}(self):",
        f"        {body}",
    ]
    return "\n".join([*lines, 'if __name__ == "__main__":', "    unittest.main()", ""])


def amd(suite: str = SMALL, more: str = "") -> str:
    return f'register_amd_ci(est_time=60, suite="{suite}"{more})'


def job(name: str, suite: str, options: str = "", *, limit: int = 30, parts: str = "0, 1") -> str:
    count = len(parts.split(","))
    return (
        f"  {name}:\n    runs-on: linux-mi300-1gpu-sglang\n    timeout-minutes: 90\n"
        f"    strategy:\n      matrix:\n        part: [{parts}]\n"
        f"    steps:\n      - timeout-minutes: {limit}\n"
        f"        run: python3 run_suite.py --hw amd --suite {suite} --auto-partition-id ${{{{ matrix.part }}}}"
        f" --auto-partition-size {count} {options}\n"
    )


def workflow(*jobs: str) -> str:
    return "on: [pull_request]\njobs:\n" + "".join(jobs)


def of_tests(**files: str) -> dict[str, str]:
    return {f"test/registered/{name.replace('__', '/')}.py": text for name, text in files.items()}


WORKFLOW = ".github/workflows/amd.yml"
CUDA = 'register_cuda_ci(est_time=9, suite="base-b")'
BEFORE: Mapping[str, str] = {
    "test/run_suite.py": RUNNER,
    WORKFLOW: workflow(job("small", SMALL), job("large", LARGE)),
    **of_tests(
        test_kept=one_test(amd(), CUDA, body="self.assertGreater(score, 0.9)"),
        test_second=one_test(amd()),
        test_large=one_test(amd(LARGE)),
        test_large_too=one_test(amd(LARGE)),
    ),
}


def make_repository(tree: Path) -> None:
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "before")


def compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: Mapping[str, str | None]
) -> list[tuple[str, str, str]]:
    """Kind, place and words of every finding that a change of `BEFORE` makes; None removes a file."""
    tree = write_sglang_tree(tmp_path / "tree", BEFORE)
    make_repository(tree)
    for file, text in changes.items():
        if text is None:
            (tree / file).unlink()
        else:
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_text(text)
    main(["check", "--checkout", str(tree), "--base", "HEAD", "--json"])
    rows = json.loads(capsys.readouterr().out)["findings"]
    return [
        (row["kind"], f"{row['file']}:{row['line']}", row["what"])
        for row in rows
        if row["kind"] != "not-read"
    ]


def test_nothing_is_lost_where_nothing_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(tmp_path, capsys, {}) == []


def test_a_lost_registration_is_an_error_and_a_disabled_one_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = of_tests(
        test_kept=one_test(CUDA, body="self.assertGreater(score, 0.9)"),
        test_large=one_test(amd(LARGE, ', disabled="hangs"')),
    )
    lost, off = [row for row in compare(tmp_path, capsys, changes) if row[0].startswith("registration")]
    file = "test/registered/test_kept.py"
    assert lost == ("registration-lost", f"{file}:1", f"lost its AMD registration for {SMALL!r}")
    file = "test/registered/test_large.py"
    assert off == (
        "registration-disabled",
        f"{file}:2",
        f"the registration for {LARGE!r} was disabled: hangs",
    )


def test_a_file_that_is_gone_is_a_note_and_one_that_moved_is_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {
        **of_tests(
            moved__test_kept=one_test(CUDA, body="self.assertGreater(score, 0.9)"),
            moved__test_large=one_test(amd(LARGE)),
            moved__test_second=one_test(CUDA, name="test_of_something_else"),
        ),
        **dict.fromkeys(of_tests(test_kept="", test_second="", test_large=""), None),
    }
    found = [row for row in compare(tmp_path, capsys, changes) if row[0].startswith("registration")]
    assert found == [
        (
            "registration-lost",
            "test/registered/moved/test_kept.py:1",
            f"was test/registered/test_kept.py, and lost its AMD registration for {SMALL} when it was moved",
        ),
        (
            "registration-gone",
            "test/registered/test_second.py:2",
            f"was removed with its AMD registration for {SMALL}",
        ),
    ]


def test_a_benchmark_that_moved_with_its_registration_is_not_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = "test/registered/bench_it.py", "test/registered/kernels/bench_it.py"
    text = one_test(amd(), name="measure")
    tree = write_sglang_tree(tmp_path / "tree", {**BEFORE, old: text})
    make_repository(tree)
    (tree / new).parent.mkdir()
    (tree / old).rename(tree / new)
    assert main(["check", "--checkout", str(tree), "--base", "HEAD"]) == 0
    assert "removed" not in capsys.readouterr().out


def test_another_suite_for_a_test_is_no_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = of_tests(test_second=one_test(amd(LARGE)))
    kinds = {kind for kind, _, _ in compare(tmp_path, capsys, changes)}
    assert not {kind for kind in kinds if kind.startswith("registration")}


def test_a_suite_whose_job_is_gone_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(tmp_path, capsys, {WORKFLOW: workflow(job("small", SMALL))})
    lost = [row for row in found if row[0] == "suite-lost"]
    place = "test/registered/test_large.py:2"
    assert lost == [("suite-lost", place, f"no job runs {LARGE!r} any more: 2 tests")]


def test_fewer_parts_and_higher_limits_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = workflow(
        job("small", SMALL, "--timeout-per-file 1800", limit=45),
        job("large", LARGE, "--timeout-per-file 600", limit=20, parts="0").replace(
            "    timeout-minutes: 90\n", ""
        ),
    )
    assert compare(tmp_path, capsys, {WORKFLOW: text}) == [
        ("part-lost", f"{WORKFLOW}:19", f"{LARGE} has 1 parts, 2 before"),
        ("limit-loosened", f"{WORKFLOW}:11", f"the limit of a file for {SMALL} is 1800 s, 1200 s before"),
        ("limit-loosened", f"{WORKFLOW}:11", f"the step's limit for {SMALL} is 45 min, 30 min before"),
        ("limit-loosened", f"{WORKFLOW}:12", "the limit of job large is none, 90 min before"),
        ("job-unlimited", f"{WORKFLOW}:12", "job large has no timeout-minutes"),
    ]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            "self.assertGreater(score, 0.85)",
            "bound-loosened",
            "score > 0.85 in TestIt.test_it was 0.9 before",
        ),
        ("assert 0.95 < score", "", ""),
        ("self.assertGreater(score, 0.95 if is_hip() else 0.99)", "", ""),
        ("self.assertTrue(score)", "bound-lost", "score > 0.9 in TestIt.test_it was removed"),
        ("self.assertGreater(score, x) or self.check(score_threshold=0.9)", "", ""),
    ],
)
def test_a_bound_that_is_looser_or_gone_is_named(
    body: str, kind: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(tmp_path, capsys, of_tests(test_kept=one_test(amd(), CUDA, body=body)))
    assert [each for each, _, _ in found] == ([kind] if kind else [])
    assert all(words in what for _, _, what in found)


def test_a_ref_that_is_not_there_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = write_sglang_tree(tmp_path / "tree", BEFORE)
    make_repository(tree)
    assert main(["check", "--checkout", str(tree), "--base", "nothing"]) == 2
    assert "has no commit 'nothing'" in capsys.readouterr().err
