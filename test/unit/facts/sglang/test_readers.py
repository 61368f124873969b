"""Who reads a variable, and how."""

from pathlib import Path

import pytest

from ci.facts.sglang.readers import find_readers
from ci.plan.contract.sglang import How, Reader

DATA = Path(__file__).parents[3] / "data/sglang_versions/calls"


def readers(name: str) -> tuple[Reader, ...]:
    return find_readers([DATA], DATA, [name]).readers[name]


@pytest.mark.parametrize(
    ("name", "how", "yes", "no"),
    [
        ("SGLANG_FAST", How.FIELD, (), ()),
        ("SGLANG_HELPED", How.BOOL, ("true", "1"), ("false", "0")),
        ("SGLANG_COMPARED", How.COMPARED, ("1",), ()),
        ("SGLANG_NOT_OFF", How.COMPARED, ("0",), ()),
        ("SGLANG_NUMBER", How.INT, (), ()),
        ("SGLANG_PRESENT", How.PRESENCE, (), ()),
        ("SGLANG_TEXT", How.TEXT, (), ()),
        ("SGLANG_TRUTH", How.TRUTH, (), ()),
        ("SGLANG_BY_CONSTANT", How.TEXT, (), ()),
        ("SGLANG_IN_CPP", How.TEXT, (), ()),
    ],
)
def test_a_reader_has_its_place_and_how_it_takes_the_text(
    name: str, how: How, yes: tuple[str, ...], no: tuple[str, ...]
) -> None:
    (reader,) = readers(name)
    assert (reader.how, reader.yes, reader.no) == (how, yes, no)
    file, _, line = reader.place.partition(":")
    text = (DATA / file).read_text().splitlines()[int(line) - 1]
    assert name in text or "NAME" in text


def test_a_declaration_is_no_reader() -> None:
    assert readers("SGLANG_DECLARED_ALONE") == ()


def test_a_variable_that_is_written_is_mentioned() -> None:
    found = find_readers([DATA], DATA, ["SGLANG_WRITTEN"])
    assert found.readers["SGLANG_WRITTEN"] == ()
    (place,) = found.mentions["SGLANG_WRITTEN"]
    assert place.startswith("sglang/srt/use.py:")


def test_without_variables_nothing_is_looked_at() -> None:
    assert find_readers([DATA], DATA, []).files == 0


def test_a_longer_name_is_another_variable() -> None:
    assert readers("SGLANG_NUM") == ()


def test_a_file_that_is_not_python_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('os.environ["SGLANG_X"] (')
    (tmp_path / "b.py").write_text('import os\nos.environ["SGLANG_X"]\n')
    found = find_readers([tmp_path], tmp_path, ["SGLANG_X"])
    assert [reader.place for reader in found.readers["SGLANG_X"]] == ["b.py:2"]
    assert found.files == 2
