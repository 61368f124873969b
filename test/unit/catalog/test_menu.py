"""What `nox -l` lists."""

import pytest

from ci.catalog.menu import menu
from ci.errors import UsageError
from support.catalog_files import CATALOG_DIR, CatalogCopy


def test_the_menu_shows_gpus_shards_and_minutes() -> None:
    rows = {row.name: row for row in menu(CATALOG_DIR)}
    assert "1 GPU mi30x, 5 shards, 40 min" in rows["stage_b_amd(1-gpu-small)"].title
    assert rows["stage_b_amd"].suite == ""
    assert "1-8 GPUs" in rows["stage_b_amd"].title


def test_a_menu_with_bad_rows_lists_every_problem(catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace("catalog/stages.toml", "shards = 5", "shards = 0")
    catalog_copy.replace("catalog/stages.toml", "shards = 3", "shards = -3")
    with pytest.raises(UsageError) as caught:
        menu(catalog_copy.rows)
    assert len(caught.value.problems) == 2
