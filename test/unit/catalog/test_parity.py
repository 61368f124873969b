"""The rows of parity.toml."""

from pathlib import Path

from ci.catalog.decode import Reader
from ci.catalog.parity import load_parity


def test_a_row_may_not_allow_work_to_differ(tmp_path: Path) -> None:
    (tmp_path / "parity.toml").write_text('[[allowed]]\npath = "work.suites.*"\nwhy = "w"\nsource = "s"\n')
    reader = Reader(tmp_path)
    load_parity(reader)
    assert "decides verdicts" in str(reader.problems[0])
