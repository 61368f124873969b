"""`nox -s fleet` on a small tree and the fixture catalog."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ci.cli.main import main
from support.catalog_files import CATALOG_DIR, CatalogCopy
from support.workflow_trees import registered, write_workflow_tree

SUITE = "stage-b-test-1-gpu-small-amd"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("ci.cli.fleet.CATALOG_DIR", CATALOG_DIR)
    files = {
        f"test/registered/x/test_{name}.py": registered(f'amd(est_time=600, suite="{SUITE}")')
        for name in "abcdef"
    }
    return str(write_workflow_tree(tmp_path / "tree", files))


def test_it_shows_pools_events_and_what_each_rule_costs(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", "--checkout", tree, "--days", "1"]) == 0
    out, err = capsys.readouterr()
    for word in (
        "north",
        "pull-requests",
        "as it is",
        "without stage gates",
        "without selection",
        "twice the shards",
    ):
        assert word in out
    assert "MiB; seed 1" in err


def test_for_machines_it_is_json_that_is_the_same_again(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for _ in range(2):
        assert main(["fleet", "--checkout", tree, "--json", "--plain", "--per-day", "pull-requests=100"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    fleet = json.loads(printed[0])["fleets"]["as it is"]
    assert {pool["id"] for pool in fleet["pools"]} == {"north", "south", "west"}
    assert fleet["events"][0]["events"] > 200


def test_a_pool_without_machines_is_left_out_and_named(
    tree: str, catalog_copy: CatalogCopy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = catalog_copy.rows / "fleet.toml"
    rows = file.read_text()
    begin = rows.index('[[machines]]\npool = "north"')
    file.write_text(rows[:begin] + rows[rows.index("[[machines]]", begin + 1) :])
    assert catalog_copy.problems() == []
    monkeypatch.setattr("ci.cli.fleet.CATALOG_DIR", catalog_copy.rows)
    main(["fleet", "--checkout", tree, "--days", "1", "--plain"])
    assert f"{SUITE} is left out: fleet.toml has no [[machines]] of pool north" in "".join(
        capsys.readouterr()
    )


def test_the_page_is_whole_and_loads_nothing(
    tree: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "fleet.html"
    assert main(["fleet", "--checkout", tree, "--output", str(page), "--target", "60", "--days", "1"]) == 0
    text = page.read_text()
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            opened.append(tag)
            assert tag not in ("script", "link", "img", "iframe")
            assert all(name not in ("src", "onclick") for name, _ in attrs)

    Reader().feed(text)
    assert opened.count("svg") == 3
    assert "nan" not in text
    assert "default-src 'none'" in text
    # the terminal has the same tables
    columns = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', text)
    printed = capsys.readouterr().out
    assert len(columns) > 30
    assert [name for name in columns if name not in printed] == []


def test_a_fleet_that_cannot_keep_up_is_said(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--plain",
        "--days",
        "1",
        "--warm-up",
        "0",
        "--per-day",
        "pull-requests=3000",
        "--gpus",
        "north=8",
    ]
    assert main(["fleet", "--checkout", tree, *arguments]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "pool north is offered" in out
    assert "never" in out


def test_pulls_that_slow_each_other_are_said(
    tree: str, catalog_copy: CatalogCopy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog_copy.replace("catalog/fleet.toml", "pull_s = 60", "pull_s = 600\npull_each_s = 600")
    monkeypatch.setattr("ci.cli.fleet.CATALOG_DIR", catalog_copy.rows)
    assert main(["fleet", "--checkout", tree, "--plain", "--per-day", "pull-requests=100"]) == 0
    assert "pulls from one registry slow each other" in " ".join(capsys.readouterr().out.split())


def test_two_catalogs_are_side_by_side(
    tree: str, catalog_copy: CatalogCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog_copy.replace("catalog/fleet.toml", "pull_s = 60", "pull_s = 600")
    other = str(catalog_copy.rows)
    assert main(["fleet", "--checkout", tree, "--json", "--compare", str(CATALOG_DIR), other]) == 0
    fleets = json.loads(capsys.readouterr().out)["fleets"]
    assert list(fleets) == [str(CATALOG_DIR), other]
    assert fleets[other]["gpu_h_a_day"] > fleets[str(CATALOG_DIR)]["gpu_h_a_day"]


def test_every_invalid_option_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--days",
        "0",
        "--seed",
        "x",
        "--per-day",
        "many",
        "--gpus",
        "north=1.5",
        "--budget",
        "3",
        "--day",
        "1",
    ]
    assert main(["fleet", *arguments, "--compare", "nowhere", "nowhere"]) == 2
    err = capsys.readouterr().err
    for problem in (
        "--days: invalid number '0'",
        "--seed: invalid number 'x'",
        "--per-day: invalid value 'many'",
        "--gpus: invalid number '1.5'",
        "--budget: needs --target",
        "--day: unknown option",
        "nowhere is not a folder",
        "names one folder twice",
    ):
        assert problem in err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'share = 0.25\nwhy = "nothing runs"',
            'share = 0.5\nwhy = "nothing runs"',
            "the shares add up to 1.25",
        ),
        ('pool = "south"', 'pool = "east"', "unknown pool 'east'"),
        ("per_day = 24", "per_day = 24\nby_hour = [1, 2]", "has 2 hours"),
        ("gpus = 8", "gpus = 4", "gives a job 8"),
        ('selects = "nothing"', 'selects = "rows"', "is 'rows', which a simulated change cannot be"),
        ('id = "broken"', 'id = "product"', "broken is missing"),
    ],
)
def test_a_row_that_cannot_be_is_named(old: str, new: str, problem: str, catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace("catalog/fleet.toml", old, new)
    assert problem in " ".join(str(each) for each in catalog_copy.problems())
