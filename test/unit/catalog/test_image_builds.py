"""The rows of builds.toml: every bad row."""

from pathlib import Path

import pytest

from ci.catalog.decode import Reader
from ci.catalog.image_builds import load_builds


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "0 rows"), ('[[base]]\nreference = "a"\nwhy = "b"\nsource = "c"\ntag = "d"\n', "tag")],
)
def test_rows_of_builds_are_checked(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "builds.toml").write_text(text)
    reader = Reader(tmp_path)
    load_builds(reader)
    assert any(words in str(problem) for problem in reader.problems)
