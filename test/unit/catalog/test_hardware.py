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
        vram_least_gib = 189
        name = "("
        why = "x"

        [[class]]
        id = "mi325x"
        family = "mi30x"
        target = "gfx942"
        vram_gib = 190
        vram_least_gib = 192
        why = "x"
        source = "x"

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
        "class[mi325x]",
        "class[mi325x].vram_least_gib",
        "device[A].pci_id",
        "device[B].class",
        "device[B].pci_id",
        "device[C].colour",
        "device[C].pci_id",
        "label[l].class",
        "label[l].pattern",
        "visible[V].empty",
        "visible[V].level",
    }
    assert catalog.classes.keys() == {"mi325x"}


def test_a_missing_catalog_is_one_problem(tmp_path: Path) -> None:
    _, problems = load(tmp_path)
    assert [problem.what for problem in problems] == ["the file is missing"]
