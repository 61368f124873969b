"""`ci_plan` from the command line, in a copy with real commits: what it prints, hands out and ends with."""

import json
from pathlib import Path

import pytest

from support.files import Ended, ci, copy_repository, git


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose branch `topic` changes a bound's row and a document."""
    root = copy_repository(tmp_path_factory.mktemp("ci-plan") / "copy")
    git(root, "checkout", "-q", "-b", "topic")
    bounds = root / "ci/catalog/bounds.toml"
    text = bounds.read_text()
    bounds.write_text(text.replace("limit = ", "limit = 1", 1))
    (root / "README.md").write_text("changed\n")
    git(root, "commit", "-q", "-a", "-m", "change")
    return root


def plan(tree: Path, *arguments: str, **env: str) -> Ended:
    return ci("ci_plan", *arguments, runs=tree / ".runs", cwd=tree, env=env)


def test_one_row_selects_its_test_and_why_names_file_and_rule(tree: Path) -> None:
    done = plan(tree, "--base", "main", "--json", "--why")
    assert done.code == 0, done.text
    found = json.loads(done.out)
    assert found["changed_files"] == ["README.md", "ci/catalog/bounds.toml"]
    reasons = {(one["file"], one["rule"]) for suite in found["suites"] for one in suite["reasons"]}
    assert reasons == {("ci/catalog/bounds.toml", "test-rows")}
    assert all(suite["tests"] for suite in found["suites"])
    assert [one["file"] for one in found["selects_nothing"]] == ["README.md"]
    jobs = [job for wave in found["waves"] for job in wave]
    assert 1 <= len(jobs) <= 2


def test_shadow_runs_everything_and_records_what_the_rules_leave_out(tree: Path) -> None:
    found = json.loads(plan(tree, "--base", "main", "--json", "--shadow").out)
    full = json.loads(plan(tree, "--event", "schedule", "--json").out)
    assert sorted(job["suite"] for wave in found["waves"] for job in wave) == sorted(
        job["suite"] for wave in full["waves"] for job in wave
    )
    assert found["would_skip"]


def test_outputs_are_the_same_bytes_each_time(tree: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        files = {
            "GITHUB_OUTPUT": str(tmp_path / name),
            "GITHUB_STEP_SUMMARY": str(tmp_path / f"{name}.md"),
        }
        assert plan(tree, "--event", "schedule", **files).code == 0
        texts.append((tmp_path / name).read_bytes() + (tmp_path / f"{name}.md").read_bytes())
    assert texts[0] == texts[1]
    assert b"wave_3_jobs<<" in texts[0]


def test_no_base_selects_everything_and_says_why(tree: Path) -> None:
    done = plan(tree)
    assert done.code == 0
    assert "it is not known what has changed" in done.out


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (["--bas", "main"], {}, 2, "--base"),
        (["--workflow", "amd-stage"], {}, 2, "unknown workflow 'amd-stage'"),
        (["--stage", "stage-z"], {"INPUT_ROCM": "7"}, 2, "INPUT_ROCM"),
        (["--verdict"], {}, 2, "NEEDS is empty"),
        (["--verdict"], {"NEEDS": '{"plan": {"result": "failure"}}'}, 1, "plan: failed"),
        (["--checkout", "/nowhere"], {}, 2, "/nowhere"),
    ],
)
def test_what_is_invalid(
    tree: Path, arguments: list[str], env: dict[str, str], code: int, words: str
) -> None:
    done = plan(tree, *arguments, **env)
    assert done.code == code, done.text
    assert words in done.err
    assert "Traceback" not in done.text
