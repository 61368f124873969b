"""The rows of sglang.toml."""

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.sglang import covers
from support.catalog_files import CatalogCopy


@pytest.mark.parametrize(
    ("versions", "version", "is_in"),
    [
        ("<=0.5.15", "0.5.10.post1", True),
        ("<=0.5.15", "0.5.15", True),
        ("<=0.5.15", "0.5.15.post1", False),
        (">=0.5.12,<0.5.20", "0.5.9", False),
        (">=0.5.12", "0.5.24rc1", True),
    ],
)
def test_a_range_of_versions(versions: str, version: str, is_in: bool) -> None:  # noqa: FBT001
    assert covers(versions, version) is is_in


def test_arguments_are_those_of_the_version(catalog: Catalog) -> None:
    assert catalog.sglang.arguments_for("1.0.5") == ("--grammar-backend", "simple")
    assert catalog.sglang.arguments_for("1.2.0") == ()


def test_wrong_ranges_and_versions_are_named_with_their_lines(catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace("catalog/sglang.toml", '"<=1.1"', '"up to 1.1"')
    catalog_copy.replace("catalog/sglang.toml", 'version = "1.2.0"', 'version = "one"')
    said = [str(problem) for problem in catalog_copy.problems()]
    assert any("range of versions" in line and "sglang.toml:" in line for line in said)
    assert any("'one'" in line for line in said)
