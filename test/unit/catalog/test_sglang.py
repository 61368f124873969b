"""The rows of sglang.toml."""

from ci.catalog.catalog import Catalog
from support.catalog_files import CatalogCopy


def test_arguments_are_those_of_the_version(catalog: Catalog) -> None:
    assert catalog.sglang.arguments_for("1.0.5") == ("--grammar-backend", "simple")
    assert catalog.sglang.arguments_for("1.2.0") == ()


def test_wrong_ranges_and_versions_are_named_with_their_lines(catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace("catalog/sglang.toml", '"<1.2"', '"up to 1.1"')
    catalog_copy.replace("catalog/sglang.toml", 'version = "1.2.0"', 'version = "one"')
    said = [str(problem) for problem in catalog_copy.problems()]
    assert any("range of releases" in line and "sglang.toml:" in line for line in said)
    assert any("'one'" in line for line in said)
