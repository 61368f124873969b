"""What is wrong with the rows of roles is named, with what would be right."""

from pathlib import Path

import pytest

from support.catalog_files import CatalogCopy


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('role = "decode"', 'role = "encode"', "encode"),
        ("http = 21010", "http = 21000", "21000 (http) is also a port of prefill"),
        ("http = 21010", "https = 21010", "has no http"),
        ("{prefill.bootstrap}", "{prefill.boot}", "{prefill.boot} is neither the address nor a port"),
        ("{bootstrap}", "{decode.http}", "{decode.http} is not known when prefill starts"),
        ("gpus = 4", "gpus = 7", "have 9 GPUs, the suite 8"),
        ('model = "org/big-model"', 'model = "org/none"', "unknown model 'org/none'"),
        ("http = 21010", "http = 80", "80"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    rows = CatalogCopy(tmp_path)
    rows.replace("catalog/roles.toml", old, new)
    problems = rows.problems()
    assert any("roles.toml" in problem and says in problem for problem in problems), problems
