"""The rows of quarantine.toml: what a bad one ends with."""

from collections.abc import Callable

import pytest

from ci.catalog.catalog import read_catalog
from support.catalog_files import CATALOG_DIR, CatalogCopy


@pytest.fixture
def edit(catalog_copy: CatalogCopy) -> Callable[[str, str], list[str]]:
    """Replace a text in a copy of quarantine.toml and read it again; nothing else is wrong with the catalog."""

    def change(old: str, new: str) -> list[str]:
        catalog_copy.replace("catalog/quarantine.toml", old, new)
        read, problems = read_catalog(catalog_copy.rows, catalog_copy.envs)
        assert problems == (), "the quarantine's problems are of their own kind"
        return [str(problem) for problem in read.quarantine.problems]

    return change


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('issue = "', 'isue = "', "issue: is missing"),
        ('issue = "https', 'issue = "#', "issue: invalid value '#://"),
        ("since = 2026-04-21", "since = 2028-04-21", "since 2028-04-21 is after expires 2027-04-21"),
        ("expires = 2027-04-21\n", "", "expires: is missing (a date"),
        ("expires = 2027-04-21", 'expires = "next spring"', "is 'next spring', not a date"),
        ("expires = 2027-04-21", 'expires = "20270421"', "not a date"),
        ("expires = 2027-04-21", "expires = 2027-04-21T08:00:00", "not a date"),
        ("expires = 2027-04-21", "expires = 365", "is 365, not a date"),
        ('"mi300x"', '"mi300"', "hardware: unknown hardware class 'mi300' (did you mean"),
        ('["mi300x"]', "[]", "hardware: is empty"),
        ("reason =", "because =", "reason: is missing"),
        ("[[quarantine]]", "[[quarantin]]", "quarantin: unknown table"),
    ],
)
def test_a_bad_row_is_named_by_its_test(
    edit: Callable[[str, str], list[str]], old: str, new: str, found: str
) -> None:
    problems = edit(old, new)
    assert any(found in problem for problem in problems), problems
    if "table" not in found:
        assert "quarantine[test/registered/amd/test_flaky.py::test_greedy]" in problems[0]


def test_a_date_may_be_a_string(edit: Callable[[str, str], list[str]]) -> None:
    assert edit("since = 2026-04-21", 'since = "2026-04-21"') == []


def test_a_test_has_one_row_for_a_class(edit: Callable[[str, str], list[str]]) -> None:
    text = (CATALOG_DIR / "quarantine.toml").read_text()
    (problem,) = edit("[[quarantine]]", text[text.index("[[quarantine]]") :] + "\n[[quarantine]]")
    assert "appears twice for mi300x" in problem
