"""A registrar that no row knows."""

from pathlib import Path

from ci.catalog.registrations.parse import discover
from support.catalog_files import catalog
from support.trees import write_sglang_tree
from support.workflow_trees import registered


def test_an_unknown_registrar_is_named_once(tmp_path: Path) -> None:
    files = {f"test/registered/x/test_{number}.py": registered('odd(5, suite="x")') for number in range(3)}
    files["test/registered/x/test_none.py"] = "pass\n"
    found = discover(write_sglang_tree(tmp_path, files), catalog().discovery, layout="sglang")
    assert [(problem.where, problem.what) for problem in found.problems] == [
        (
            "test/registered/x/test_0.py:1",
            "unknown registrar register_odd_ci, also in 2 other files: nothing is registered by it",
        ),
        ("test/registered/x/test_none.py:1", "has no registration"),
    ]
