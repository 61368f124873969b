"""`hardware.toml`: our rows, and what is said about wrong ones."""

from pathlib import Path

from support.machines import CATALOG, CATALOG_PROBLEMS, load


def test_our_catalog_has_no_problems() -> None:
    assert CATALOG_PROBLEMS == []
    assert list(CATALOG.classes) == ["mi300x", "mi325x", "mi355x", "cpu"]
    assert {cls.family for cls in CATALOG.classes.values()} == {"mi30x", "mi35x", "cpu"}


def test_every_class_with_gpus_has_a_physical_and_a_virtual_device() -> None:
    for cls in CATALOG.classes.values():
        names = {device.name for device in CATALOG.devices.values() if device.cls == cls.id}
        assert names == (set() if cls.id == "cpu" else {cls.id.upper(), f"{cls.id.upper()} VF"})


def test_names_and_sizes_tell_the_classes_apart() -> None:
    for device in CATALOG.devices.values():
        named = [cls.id for cls in CATALOG.classes.values() if cls.has_name(f"AMD Instinct {device.name}")]
        assert named == ([device.cls] if device.cls else [])
    for cls in CATALOG.classes.values():
        fits = [other.id for other in CATALOG.classes.values() if other.has_vram(cls.vram_gib)]
        assert fits == ([] if cls.id == "cpu" else [cls.id])


def test_every_problem_of_the_catalog_is_told_at_once(tmp_path: Path) -> None:
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
