"""docs/verdicts.md says what the code does."""

import re
from pathlib import Path

import pytest

from ci.catalog.verdict_rules import About, OnlyIf
from ci.catalog.verdicts import Verdict
from support.catalog_files import repository_catalog

pytestmark = pytest.mark.live_rows

PAGE = (Path(__file__).parents[3] / "docs/verdicts.md").read_text(encoding="utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of a table, by its head's first cell."""
    table = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_verdict_is_there_in_order_with_its_words_and_exit_code() -> None:
    shown = [(row[0], row[1], int(row[3])) for row in rows("verdict")]
    assert shown == [(str(each), each.row.words, int(each.row.exit_code)) for each in Verdict]


def test_what_is_said_to_be_tried_again_is_what_has_a_row() -> None:
    retried = {retry.verdict for retry in repository_catalog().retries}
    said = {row[0] for row in rows("verdict") if not re.match(r"no\b", row[4])}
    assert said == {str(each) for each in retried}


def test_every_kind_of_evidence_and_every_condition_is_explained() -> None:
    assert [row[0] for row in rows("about")] == [*About]
    assert [row[0] for row in rows("only_if")] == [each for each in OnlyIf if each]
