"""`nox -s shards` on a small tree."""

import json
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.catalog.stages import Split
from ci.cli.main import main
from support.catalog_files import CatalogCopy
from support.workflow_trees import registered, write_workflow_tree

SUITE = "stage-b-test-1-gpu-small-amd"
GATE = f"""
on: [pull_request]
jobs:
  job:
    runs-on: linux-south-1gpu
    strategy: {{ matrix: {{ part: [0, 1, 2] }} }}
    steps:
      - run: python3 test/run_suite.py --hw amd --suite {SUITE} --auto-partition-id ${{{{ matrix.part }}}} --auto-partition-size 3
"""


@pytest.fixture
def tree(tmp_path: Path) -> str:
    files = {
        f"test/registered/x/test_{name}.py": registered(f'amd(est_time={est}, suite="{SUITE}")')
        for name, est in (("long", 1200), ("b", 100), ("c", 90))
    }
    return str(write_workflow_tree(tmp_path / "tree", {".github/workflows/pr-amd.yml": GATE, **files}))


def test_each_suite_has_its_longest_shard_and_what_would_make_it_shorter(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shards", "--checkout", tree]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"{SUITE}: drop to 2 shards: same longest shard, 20 min" in out
    assert f"{SUITE}: blocked by test/registered/x/test_long.py: alone it takes 20 min" in out


def test_for_machines_it_has_every_suite_and_the_deadline(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shards", "--checkout", tree, "--suite", SUITE, "--deadline", "20", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["suite"], row["shards"], row["enough_shards"]) == (SUITE, 3, 2)
    assert row["longest_shard_s"] == row["lower_bound_s"] == 1200
    assert row["deadline"] == {"shards": 2, "makespan_s": 1200, "too_long": []}


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan", "inf"])
def test_a_deadline_that_is_no_number_of_minutes_is_named_with_every_other_problem(
    minutes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shards", f"--deadline={minutes}", "--shards"]) == 2
    err = capsys.readouterr().err
    assert "--deadline: is not a number of minutes" in err
    assert "--shards: unknown option" in err


def test_an_unknown_suite_has_the_closest_name(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "--checkout", tree, "--suite", "1-gpu-smal", "--suite", "other"]) == 2
    err = capsys.readouterr().err
    assert "unknown suite '1-gpu-smal' (did you mean" in err
    assert "unknown suite 'other'" in err


def test_a_suite_that_follows_a_checkout_is_split_as_the_tree_does(
    tree: str,
    catalog_copy: CatalogCopy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    catalog_copy.replace("catalog/stages.toml", "shards = 5", 'shards = 5\nsplit = "even"')
    monkeypatch.setattr(
        "ci.cli.shards.load_catalog", lambda: load_catalog(catalog_copy.rows, catalog_copy.envs)
    )
    assert load_catalog(catalog_copy.rows, catalog_copy.envs).suites[1].split is Split.EVEN
    assert main(["shards", "--checkout", tree, "--suite", SUITE, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["split"], row["shards"]) == ("sglang", 3)
