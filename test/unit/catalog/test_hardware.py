"""`hardware.toml`: what is reported about bad rows."""

from pathlib import Path

from support.machines import load


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "hardware.toml").write_text(
        """
        [[class]]
        id = "mi300x"
        family = "mi30x"
        target = "942"
        vram_gib = 190
        vram_least_gib = 192
        name = "("
        why = "x"

        [[device]]
        pci_id = "0x74a1"
        name = "A"
        source = "x"

        [[device]]
        pci_id = 0x174a1
        name = "B"
        class = "mi400x"
        source = "x"

        [[device]]
        pci_id = 0x174a1
        name = "C"
        source = "x"
        colour = "red"

        [[label]]
        id = "l"
        pattern = "linux"
        class = "cpu"
        source = "x"

        [[visible]]
        id = "V"
        level = 0
        empty = "some"
        source = "x"
        """
    )
    catalog, problems = load(tmp_path)
    assert {problem.where.partition(": ")[2] for problem in problems} == {
        "class",
        "class[mi300x].name",
        "class[mi300x].source",
        "class[mi300x].target",
        "class[mi300x].vram_least_gib",
        "device[0].pci_id",
        "device[1].class",
        "device[1].pci_id",
        "device[2].colour",
        "device[2].pci_id",
        "label[l].class",
        "label[l].pattern",
        "visible[V].empty",
        "visible[V].level",
    }
    assert catalog.classes.keys() == {"mi300x"}


def test_a_missing_catalog_is_one_problem(tmp_path: Path) -> None:
    _, problems = load(tmp_path)
    assert [problem.what for problem in problems] == ["the file is missing"]
