"""`runners.toml`: every label leads to the hardware class of its pool."""

from pathlib import Path

import pytest

from support.catalog_files import CatalogCopy

NEW_POOL = """
[[pool]]
id = "east"
hardware = "mi355x"
why = "a new pool"
source = "test"

[[label]]
label = "linux-east-gpu-2"
pool = "east"
gpus = 2
"""
NEW_RULE = r"""
[[label]]
id = "east"
pattern = 'linux-east-(gpu-)?(?P<gpus>[1-9])(gpu)?\b'
class = "mi355x"
source = "test"
"""


@pytest.fixture
def rows(tmp_path: Path) -> CatalogCopy:
    return CatalogCopy(tmp_path)


def test_a_label_that_no_hardware_row_matches_is_named_with_its_line_and_the_row_to_add(
    rows: CatalogCopy,
) -> None:
    file = rows.rows / "runners.toml"
    line = file.read_text().count("\n") + NEW_POOL[: NEW_POOL.index("label =")].count("\n") + 1
    file.write_text(file.read_text() + NEW_POOL)
    (problem,) = rows.problems()
    assert f"catalog/runners.toml:{line}: label[linux-east-gpu-2].label" in problem
    assert "no [[label]] of hardware.toml matches 'linux-east-gpu-2'" in problem
    assert (
        """id = "east", pattern = 'linux-east-(gpu-)?(?P<gpus>[1-9])(gpu)?\\b', class = "mi355x\""""
        in problem
    )
    with (rows.rows / "hardware.toml").open("a") as hardware:
        hardware.write(NEW_RULE)
    assert rows.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            'label = "linux-north-2gpu"',
            'label = "linux-north-3gpu"',
            "is 3 x mi300x by catalog/hardware.toml:",
        ),
        (
            'label = "linux-north-2gpu"',
            'label = "linux-south-2gpu"',
            "but 2 x mi300x by this row and its pool",
        ),
    ],
)
def test_a_label_that_is_read_as_other_hardware_is_refused_with_both_rows(
    rows: CatalogCopy, old: str, new: str, what: str
) -> None:
    rows.replace("catalog/runners.toml", old, new)
    assert any(what in problem and "hardware.toml" in problem for problem in rows.problems())


def test_labels_are_not_judged_by_incomplete_rows_of_hardware(rows: CatalogCopy) -> None:
    rows.replace("catalog/hardware.toml", "pattern = 'linux-north-", "pattern = '(linux-north-")
    (problem,) = rows.problems()
    assert "hardware.toml" in problem
