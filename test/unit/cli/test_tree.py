"""`nox -s tree`: a checkout's own facts, what differs from our rows, and writing them."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.cli.main import main
from ci.plan.tree.differences import Difference
from ci.report.console import open_console
from ci.report.views.tree import show_differences
from support.catalog_files import CATALOG_DIR, ENVS_DIR
from support.workflow_trees import registered, write_workflow_tree

SUITE = "stage-b-test-1-gpu-small-amd"
GATE = f"""
on: [pull_request]
jobs:
  job:
    runs-on: linux-south-1gpu
    strategy: {{ matrix: {{ part: [0, 1] }} }}
    steps:
      - timeout-minutes: 33
        run: python3 test/run_suite.py --hw amd --suite {SUITE} --auto-partition-id ${{{{ matrix.part }}}} --auto-partition-size 2
  fresh:
    runs-on: linux-west-8gpu
    steps:
      - timeout-minutes: 70
        run: python3 test/run_suite.py --hw amd --suite stage-c-fresh-amd
"""


@pytest.fixture
def tree(tmp_path: Path) -> str:
    return str(write_workflow_tree(tmp_path / "tree", {".github/workflows/pr-amd.yml": GATE}))


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stages.toml"
    path.write_text((CATALOG_DIR / "stages.toml").read_text())
    monkeypatch.setattr("ci.cli.tree.CATALOG_DIR", tmp_path)
    return path


def test_the_facts_are_the_runners_and_every_job_by_workflow(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tree", "--checkout", tree]) == 0
    out = capsys.readouterr().out
    assert "register_local_ci" in out
    assert (
        f"pr-amd.yml (pr-amd.yml)\n     4 job, 2 jobs, linux-south-1gpu\n       9 {SUITE}, 2 parts, 33 min\n"
        in out
    )
    assert "2 workflows, 3 AMD jobs with 4 names, 3 suites; 0 not read" in out


def test_the_names_of_jobs_are_for_a_pipe(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--checkout", tree, "--names"]) == 0
    assert capsys.readouterr().out.splitlines() == ["nightly-two", "job (0)", "job (1)", "fresh"]


def test_the_facts_for_machines_have_every_cell(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--checkout", tree, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    jobs = {job["id"]: job for workflow in data["workflows"] for job in workflow["jobs"]}
    assert [cell["calls"][0]["part"] for cell in jobs["job"]["cells"]] == [0, 1]


def test_what_differs_from_our_rows(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--checkout", tree, "--against", "catalog", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    of_suite = {row["column"]: row["theirs"] for row in data["differences"] if row["suite"] == SUITE}
    assert (of_suite["shards"], of_suite["timeout_min"]) == (2, 33)
    assert "stage-c-fresh-amd" in data["only_in_the_tree"]


def test_of_files_that_differ_only_those_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shared = {"suite": "files-amd", "column": "files", "source": "w.yml:3"}
    row = Difference(ours=["a.py", "b.py"], theirs=["c.py", "a.py"], **shared)
    show_differences(open_console({}), [row], (), ())
    out = capsys.readouterr().out
    assert re.search(r"files +b.py +c.py +w.yml:3 *\n +1 the same +1 the same", out)


@pytest.mark.processes
def test_our_rows_follow_the_tree_on_request(tree: str, rows: Path, tmp_path: Path) -> None:
    before = rows.read_text()
    assert main(["tree", "--checkout", tree, "--against", "catalog"]) == 0
    assert rows.read_text() == before
    assert main(["tree", "--checkout", tree, "--against", "catalog", "--write", "--new"]) == 0
    found = {row["name"]: row for row in tomllib.loads(rows.read_text())["suite"]}
    assert (found[SUITE]["shards"], found[SUITE]["timeout_min"]) == (2, 33)
    assert found["stage-c-fresh-amd"]["stage"] == "stage-c-amd"
    for file in CATALOG_DIR.glob("*.toml"):
        if file.name != rows.name:
            (tmp_path / file.name).write_text(file.read_text())
    written = load_catalog(tmp_path, ENVS_DIR).suites
    fresh = next(suite for suite in written if suite.name == "stage-c-fresh-amd")
    assert (fresh.gpus, fresh.family, fresh.timeout_s) == (8, "mi35x", 4200)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "--checkout: is missing"),
        (["--checkout", "x", "--write"], "--write: needs --against catalog"),
        (["--checkout", "x", "--against", "rows"], "unknown value 'rows'"),
        (["--checkout", "x", "--names", "--json"], "--names: goes with neither"),
    ],
)
def test_invalid_options_are_named(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", *words]) == 2
    assert what in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.usefixtures("own_tree")
def test_a_suite_that_only_the_tree_has_is_planned_with_its_values_and_their_places(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = ["--hardware", "mi355x", "--executor", "host"]
    words = ["plan", "stage_c_amd", "--checkout", tree, "--suite", "stage-c-fresh-amd", *machine, "--json"]
    files = {"test/registered/x/test_fresh.py": registered('amd(est_time=9, suite="stage-c-fresh-amd")')}
    write_workflow_tree(Path(tree), {".github/workflows/pr-amd.yml": GATE, **files})
    assert main(words) == 0
    plan = json.loads(capsys.readouterr().out)
    (suite,) = plan["work"]["suites"]
    assert (suite["gpus"], suite["timeout_s"], suite["tests"][0]["timeout_s"]) == (8, 4200, 1000)
    path = "work.suites.stage-c-fresh-amd"
    assert plan["sources"][f"{path}.timeout_s"].startswith("the tree's pr-amd.yml:14")
    assert "limit of a file: the tree's run_suite.py:26" in plan["sources"][f"{path}.tests"]
    assert plan["placement"]["runner_labels"] == {"stage-c-fresh-amd": "linux-west-8gpu"}


@pytest.mark.processes
@pytest.mark.usefixtures("own_tree")
def test_a_part_of_the_tree_holds_the_files_of_its_own_runner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = str(write_workflow_tree(tmp_path))
    words = [
        "run",
        "stage-b-amd",
        "--checkout",
        tree,
        "--suite",
        "one-amd",
        "--shard",
        "2/2",
        "--hardware",
        "cpu",
        "--list",
    ]
    assert main(words) == 0
    listed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["test/registered/x/test_second.py", "test/registered/x/test_third.py"]
