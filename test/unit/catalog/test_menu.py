"""What `nox -l` lists."""

from pathlib import Path

import pytest

from ci.catalog.decode import Reader
from ci.catalog.menu import menu
from ci.catalog.stages import load_stages
from ci.errors import UsageError
from support.catalog_files import CATALOG_DIR, CatalogCopy


def test_the_menu_shows_gpus_shards_and_minutes() -> None:
    rows = {row.name: row for row in menu(CATALOG_DIR)}
    assert "1 GPU mi30x, 5 shards, 40 min" in rows["stage_b_amd(1-gpu-small)"].title
    assert rows["stage_b_amd"].suite == ""
    assert "1-8 GPUs" in rows["stage_b_amd"].title


def listing_error(folder: Path, text: str) -> str:
    (folder / "stages.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        menu(folder)
    return caught.value.render()


def test_what_a_listing_needs_and_a_row_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    text = listing_error(
        tmp_path,
        """
        [[stage]]
        id = "a"
        session = 1
        title = "t"
        why = "w"
        source = "s"

        [[suite]]
        name = "one"
        gpus = 1.5
        """,
    )
    assert "/stages.toml:4: stage[0].session: is 1, not a string" in text
    assert "/stages.toml:11: suite[one].gpus: is 1.5, not a whole number" in text
    assert "/stages.toml:9: suite[one].timeout_min: is missing" in text
    assert "next:  fix these rows, then: nox -s check" in text


@pytest.mark.parametrize(
    ("text", "found"), [("stage = 1", "stage: must be an array of tables"), ("[[stage]", "invalid TOML")]
)
def test_a_file_without_rows_is_not_a_crash(tmp_path: Path, text: str, found: str) -> None:
    assert found in listing_error(tmp_path, text)


def test_what_a_listing_does_not_show_is_left_to_check(catalog_copy: CatalogCopy) -> None:
    listed = menu(catalog_copy.rows)
    catalog_copy.replace("catalog/stages.toml", "retry_wait_s = ", "retry_wait = ")
    assert menu(catalog_copy.rows) == listed
    assert catalog_copy.problems()


@pytest.mark.live_rows
def test_both_readers_of_the_stages_see_the_same() -> None:
    reader = Reader()
    table = load_stages(reader)
    assert reader.problems == []
    rows = menu()
    assert {(row.stage_id, row.session) for row in rows} == {
        (stage.id, stage.session) for stage in table.stages
    }
    suites = {(row.stage_id, row.suite): row for row in rows if row.suite}
    assert sorted(suites) == sorted((suite.stage, suite.id) for suite in table.suites)
    for suite in table.suites:
        row = suites[suite.stage, suite.id]
        assert row.title.startswith(f"{suite.name}: {suite.gpus} GPU")
        assert f" {suite.family}" + (" fabric," if suite.fabric else ",") in row.title
        assert f" {suite.shards} shard" in row.title
        assert row.title.endswith(f", {suite.timeout_s / 60:g} min")
        assert row.description == f"{suite.why}\n\nSource: {suite.source}"
