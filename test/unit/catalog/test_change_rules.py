"""The rows of changes.toml: every bad rule."""

from pathlib import Path

from ci.catalog.change_rules import check_changes, load_changes
from ci.catalog.decode import Reader
from ci.catalog.stages import load_stages


def test_bad_rules_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "changes.toml").write_text(
        '[[rule]]\nid = "a"\ntree = "oun"\npaths = ["/x"]\nselects = "some"\nwhy = "w"\nsource = "s"\n'
        '[[rule]]\nid = "b"\ntree = "own"\npaths = ["x"]\nselects = "suites"\nsuites = ["gone"]\nwhy = "w"\nsource = "s"\n'
    )
    (tmp_path / "stages.toml").write_text(
        '[[stage]]\nid = "a"\nsession = "a"\ntitle = "a"\nwhy = "w"\nsource = "s"\n'
        '[[suite]]\nid = "x"\nstage = "a"\nname = "some"\nfamily = "f"\ngpus = 1\nshards = 1\ntimeout_min = 9\n'
        'timeout_per_file_s = 9\nwhen = "kernels changed"\nwhy = "w"\nsource = "s"\n'
    )
    reader = Reader(tmp_path)
    found = load_changes(reader, trees=("own", "sglang"))
    check_changes(reader, found, load_stages(reader).suites)
    text = "\n".join(map(str, reader.problems))
    for words in (
        "rule[a].tree",
        "rule[a].paths",
        "rule[a].selects",
        "rule[b].suites: unknown suite 'gone'",
        "shadow: has 0 rows",
        "suite[some].when: is 'kernels changed', and no rule of changes.toml says",
    ):
        assert words in text
