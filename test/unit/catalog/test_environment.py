"""The rows of environment.toml."""

import pytest

from ci.catalog.catalog import load_catalog
from ci.errors import UsageError
from support.catalog_files import CatalogCopy


def test_sets_that_do_not_exist_are_all_named_at_once(catalog_copy: CatalogCopy) -> None:
    with (catalog_copy.rows / "environment.toml").open("a") as file:
        for name in ("one", "two"):
            file.write(
                f'\n[[test_env]]\ntest = "test/{name}.py"\nsets = ["big_model.{name.upper()}"]\nwhy = "w"\n'
            )
    with pytest.raises(UsageError) as caught:
        load_catalog(catalog_copy.rows, catalog_copy.envs)
    assert caught.value.exit_code == 2
    text = caught.value.render()
    for name in ("one", "two"):
        assert f"test_env[test/{name}.py].sets: unknown env set 'big_model.{name.upper()}'" in text
