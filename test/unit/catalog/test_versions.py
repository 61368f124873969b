"""Ranges of engine versions."""

import pytest

from ci.catalog.versions import Version, gap_in, newest, release_of, span_of
from support.catalog_files import CatalogCopy


@pytest.mark.parametrize(
    ("versions", "inside", "outside"),
    [
        (">=0.5.12", ["0.5.12", "0.5.12.post1", "1.0"], ["0.5.11", "0.5.12rc1"]),
        ("<0.5.20", ["0.5.19.post1", "0.5.9"], ["0.5.20", "0.5.20+rocm720"]),
        (" >=0.5.12 , <0.5.20", ["0.5.12+rocm720", "0.5.19"], ["0.5.20", "0.5.2"]),
        ("", ["0.0.1", "99"], []),
    ],
)
def test_a_range_has_its_first_release_and_not_the_one_that_it_ends_before(
    versions: str, inside: list[str], outside: list[str]
) -> None:
    span = span_of(versions)
    assert [text for text in (*inside, *outside) if span.has(Version(text))] == inside


@pytest.mark.parametrize(
    "text", ["0.5.13.dev12+g1a2b3c4", "0.0.0.dev0", "0.0.0", "", "main", "v0.5.12-3-gabc"]
)
def test_a_commit_is_no_release(text: str) -> None:
    assert release_of(text) is None


@pytest.mark.parametrize("text", ["0.5.12", "0.5.10.post1", "0.5.12rc0", "0.5.12+rocm720"])
def test_a_release_is_one(text: str) -> None:
    assert str(release_of(text)) == text


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("<0.5.13", ">=0.5.13", False),
        ("<0.5.14", ">=0.5.13", True),
        (">=0.5.13,<0.5.18", ">=0.5.18", False),
        ("", ">=0.5.18", True),
        (">=0.5.1", ">=0.5.18", True),
    ],
)
def test_ranges_overlap_when_a_release_is_in_both(one: str, other: str, *, both: bool) -> None:
    assert span_of(one).overlaps(span_of(other)) is both
    assert span_of(other).overlaps(span_of(one)) is both


@pytest.mark.parametrize(
    ("ranges", "gap"),
    [
        (["<0.5.13", ">=0.5.13"], ""),
        ([">=0.5.18", "<0.5.13", ">=0.5.13,<0.5.18"], ""),
        (["<0.5.13", ">=0.5.14"], "release 0.5.13"),
        ([">=0.5.13"], "releases before 0.5.13"),
        (["<0.5.13"], "release 0.5.13"),
    ],
)
def test_a_release_that_no_range_has_is_named(ranges: list[str], gap: str) -> None:
    assert gap_in(ranges) == gap


def test_the_newest_range_begins_last() -> None:
    assert newest(["<0.5.13", ">=0.5.20", ">=0.5.13,<0.5.20"]) == ">=0.5.20"


@pytest.mark.parametrize(
    "text", ["0.5.20", "==0.5.20", ">=0.5.20,>=0.5.21", "<0.5.1,>=0.5.2", ">=latest", ""]
)
def test_what_is_no_range_is_named_with_its_line(catalog_copy: CatalogCopy, text: str) -> None:
    catalog_copy.replace(
        "catalog/capabilities.toml",
        'args = ["--repeatable"]',
        f'versions = "{text}"\nargs = ["--repeatable"]',
    )
    (problem,) = [problem for problem in catalog_copy.problems() if "versions: " in problem]
    assert problem.startswith("catalog/capabilities.toml:5: capability[repeatable].versions: ")
    assert "a range of releases, e.g. >=0.5.12,<0.5.20" in problem


def _with_ranges(copy: CatalogCopy, one: str, other: str) -> list[str]:
    row = """[[capability]]
id = "memory"
engine = "sglang"
hardware = ["mi300x"]
versions = "{}"
args = ["--memory", "0.8"]
allowed = true
why = "a small GPU needs a larger share"
source = "fixture"

"""
    old = row.replace('versions = "{}"\n', "")
    copy.replace("catalog/capabilities.toml", old, row.format(one) + row.format(other))
    return list(copy.problems())


def test_rows_of_ranges_that_meet_are_sound(catalog_copy: CatalogCopy) -> None:
    assert _with_ranges(catalog_copy, "<2", ">=2") == []


def test_rows_of_ranges_that_overlap_are_a_problem(catalog_copy: CatalogCopy) -> None:
    (problem,) = _with_ranges(catalog_copy, "<2.1", ">=2")
    assert "memory for sglang on mi300x appears twice" in problem
    assert "versions that do not overlap" in problem


def test_a_gap_between_rows_is_a_problem(catalog_copy: CatalogCopy) -> None:
    (problem,) = _with_ranges(catalog_copy, "<2", ">=2.1")
    assert "memory for sglang on mi300x has no row for release 2" in problem


def test_a_reason_to_leave_out_is_for_a_row_that_leaves_out(catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace(
        "catalog/capabilities.toml",
        'args = ["--memory", "0.8"]',
        'args = ["--memory", "0.8"]\nleft_out_until = { list = "X", has = "y" }',
    )
    (problem,) = catalog_copy.problems()
    assert "left_out_until: is for a row that is not allowed" in problem
