"""The rows of capabilities.toml: every bad row."""

import pytest

from support.catalog_files import CatalogCopy


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('issue = "https', 'issue = "', "issue: invalid value '://"),
        (
            'issue = "https://example.invalid/issues/7"\n',
            "",
            "issue: is missing (the URL of the issue that tracks why",
        ),
        (
            'hardware = ["mi300x", "mi325x", "mi355x"]',
            'hardware = ["mi300x"]',
            "has no row for sglang on mi325x",
        ),
        (
            'hardware = ["mi325x", "mi355x"]',
            'hardware = ["mi300x", "mi325x", "mi355x"]',
            "appears twice",
        ),
        ('hardware = ["cpu"]', 'hardware = ["cpu", "mi300x"]', "llamacpp does not serve mi300x"),
        ('engine = "llamacpp"', 'engine = "llama"', "unknown engine 'llama'"),
        ("allowed = false\n", "", "allowed: is missing"),
        ('hardware = ["cpu"]', 'hardware = ["cuda"]', "unknown hardware class 'cuda'"),
        ("[[capability]]", "[[capabilty]]", "capabilty: unknown table"),
    ],
)
def test_a_bad_row_is_named(catalog_copy: CatalogCopy, old: str, new: str, found: str) -> None:
    catalog_copy.replace("catalog/capabilities.toml", old, new)
    problems = catalog_copy.problems()
    assert any(
        found in problem and problem.startswith("catalog/capabilities.toml") for problem in problems
    ), problems
