"""What a machine is: laptops, disagreements, labels and limits. `/sys` and the tools' outputs are doubles."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import ExitCode, InfrastructureError
from support.machines import (
    CATALOG,
    CATALOG_DIR,
    GFX950,
    GFX1103,
    MI300X,
    MI325X,
    find,
    gpu,
    gpus,
    load,
    refused,
)
from support.trees import write_kfd

# --- laptops


def test_a_laptops_graphics_are_ignored(tmp_path: Path) -> None:
    found = find(write_kfd(tmp_path, [gpu(0x15BF, gfx=GFX1103)]), visible={"CUDA_VISIBLE_DEVICES": "1"})
    assert (found.cls, found.gpus) == ("cpu", ())
    assert any("gfx1103" in note and "is ignored" in note for note in found.notes)
    assert any("CUDA_VISIBLE_DEVICES=1 has no effect" in note for note in found.notes)


def test_graphics_beside_real_gpus_keep_their_number(tmp_path: Path) -> None:
    found = find(write_kfd(tmp_path, [gpu(0x15BF, gfx=GFX1103), gpu(MI300X), gpu(MI300X)]))
    assert (found.cls, [one.id for one in found.gpus]) == ("mi300x", ["1", "2"])


@pytest.mark.parametrize("target", ["gfx908", "gfx90a", "gfx942", "gfx950", "gfx1250"])
def test_no_instinct_is_ignored(target: str) -> None:
    assert CATALOG.ignored_because(target) == ""


# --- what is unknown, mixed or in disagreement


def test_an_unknown_id_is_refused_with_the_row_to_add(tmp_path: Path) -> None:
    text = refused(write_kfd(tmp_path, [gpu(0x74FF, vram_gib=256)]))
    assert "PCI device id 0x74ff" in text
    assert "KFD topology" in text
    row = text.partition("add to ci/catalog/hardware.toml:")[2]
    assert tomllib.loads(row) == {
        "device": [
            {
                "pci_id": 0x74FF,
                "name": "what amd-smi static --asic calls it",
                "class": "mi325x",
                "source": "where the id is listed",
            }
        ]
    }


def test_the_row_names_the_choices_when_nothing_points_to_a_class(tmp_path: Path) -> None:
    text = refused(write_kfd(tmp_path, [gpu(0x7FFF, gfx=90010, vram_gib=64)]))
    row = text.partition("add to ci/catalog/hardware.toml:")[2]
    assert "class" not in tomllib.loads(row)["device"][0]
    assert "mi300x, mi325x, mi355x" in row


def test_the_row_to_add_makes_it_known(tmp_path: Path) -> None:
    sysfs = write_kfd(tmp_path / "sys", [gpu(0x74FF, vram_gib=256)])
    row = refused(sysfs).partition("add to ci/catalog/hardware.toml:")[2]
    (tmp_path / "hardware.toml").write_text((CATALOG_DIR / "hardware.toml").read_text() + row)
    catalog, problems = load(tmp_path)
    assert problems == []
    assert find(sysfs, catalog=catalog).cls == "mi325x"


@pytest.mark.parametrize(("device", "name"), [(0x74A2, "MI308X"), (0x74A9, "MI300X HF")])
def test_known_hardware_outside_the_ci_is_refused(tmp_path: Path, device: int, name: str) -> None:
    text = refused(write_kfd(tmp_path, [gpu(device)]))
    assert name in text
    assert "--hardware cpu" in text


def test_several_classes_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    sysfs = write_kfd(tmp_path, [gpu(MI300X), gpu(MI300X), gpu(MI325X)])
    text = refused(sysfs)
    assert "mi300x: GPU 0, 1; mi325x: GPU 2" in text
    assert find(sysfs, visible={"HIP_VISIBLE_DEVICES": "0,1"}).cls == "mi300x"
    assert find(sysfs, visible={"HIP_VISIBLE_DEVICES": "2"}).cls == "mi325x"


@pytest.mark.parametrize(
    ("device", "vram_gib", "words"),
    [
        (MI300X, 256, ["0x74a1", "192 GiB", "256.0 GiB"]),
        (MI325X, 192, ["0x74a5", "256 GiB", "192.0 GiB"]),
        (MI300X, 24, ["0x74a1", "192 GiB", "24.0 GiB", "partitions"]),
    ],
)
def test_memory_that_is_not_the_devices_is_a_disagreement(
    tmp_path: Path, device: int, vram_gib: float, words: list[str]
) -> None:
    text = refused(write_kfd(tmp_path, [gpu(device, vram_gib=vram_gib)]))
    assert all(word in text for word in ["disagree", "KFD topology", *words])


@pytest.mark.parametrize(("version", "target"), [(GFX950, "gfx950"), (GFX1103, "gfx1103")])
def test_a_target_that_is_not_the_devices_is_a_disagreement(
    tmp_path: Path, version: int, target: str
) -> None:
    text = refused(write_kfd(tmp_path, [gpu(MI300X, gfx=version)]))
    assert all(word in text for word in ("0x74a1", "gfx942", target))


# --- the runner's label


def test_the_label_alone_decides_when_nothing_else_is_known(tmp_path: Path) -> None:
    found = find(tmp_path, label="linux-south-2gpu")
    assert (found.cls, [one.id for one in found.gpus]) == ("mi325x", ["0", "1"])
    assert found.source == "runner label 'linux-south-2gpu'"
    assert found.notes == ("the GPUs themselves were not found",)


@pytest.mark.parametrize(
    ("label", "cls", "count"),
    [
        ("linux-north-1gpu", "mi300x", 1),
        ("linux-north-8gpu-x7k2p-runner-abcde", "mi300x", 8),
        ("linux-north-gpu-4", "mi300x", 4),
        ("linux-south-gpu-2.test", "mi325x", 2),
        ("linux-west-8gpu.fabric", "mi355x", 8),
    ],
)
def test_labels_of_every_age_are_read(tmp_path: Path, label: str, cls: str, count: int) -> None:
    found = find(tmp_path, label=label)
    assert (found.cls, len(found.gpus)) == (cls, count)


@pytest.mark.parametrize(
    "label", ["ubuntu-latest", "linux-north-0gpu", "my-linux-north-1gpu", "linux-north-12gpu"]
)
def test_a_label_that_says_nothing_is_noted(tmp_path: Path, label: str) -> None:
    found = find(tmp_path, label=label)
    assert (found.cls, found.notes) == ("cpu", (f"the runner label {label!r} has no hardware class",))


@pytest.mark.parametrize("label", [None, ""])
def test_no_label_is_not_worth_a_note(tmp_path: Path, label: str | None) -> None:
    assert find(tmp_path, label=label).notes == ()


def test_a_label_that_contradicts_the_topology_is_refused(tmp_path: Path) -> None:
    sysfs = write_kfd(tmp_path, gpus(MI325X, 1))
    text = refused(sysfs, label="linux-north-1gpu")
    assert "KFD topology says mi325x; runner label 'linux-north-1gpu' says mi300x" in text


@pytest.mark.parametrize("present", [0, 7])
def test_fewer_gpus_than_the_label_promises_is_infrastructure(tmp_path: Path, present: int) -> None:
    sysfs = write_kfd(tmp_path, gpus(MI300X, present))
    with pytest.raises(InfrastructureError, match=f"KFD topology shows {present} of the 8 GPUs") as caught:
        find(sysfs, label="linux-north-8gpu")
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE


def test_more_gpus_than_the_label_promises_is_noted(tmp_path: Path) -> None:
    found = find(write_kfd(tmp_path, gpus(MI300X, 8)), label="linux-north-1gpu")
    assert len(found.gpus) == 8
    assert found.notes == ("KFD topology shows 8 GPUs, runner label 'linux-north-1gpu' promises 1",)


def test_hiding_gpus_is_not_missing_them(tmp_path: Path) -> None:
    sysfs = write_kfd(tmp_path, gpus(MI300X, 8))
    found = find(sysfs, label="linux-north-8gpu", visible={"HIP_VISIBLE_DEVICES": "0"})
    assert len(found.gpus) == 1
    assert find(sysfs, label="linux-north-8gpu", visible={"HIP_VISIBLE_DEVICES": "-1"}).cls == "cpu"


# --- what the caller allows


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ({}, [("0", 0), ("1", 1), ("2", 2), ("3", 3)]),
        ({"HIP_VISIBLE_DEVICES": "2"}, [("2", 2)]),
        ({"HIP_VISIBLE_DEVICES": "3, 1"}, [("3", 3), ("1", 1)]),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, [("0", 0), ("1", 1)]),
        ({"HIP_VISIBLE_DEVICES": "0,1", "CUDA_VISIBLE_DEVICES": "0, 1"}, [("0", 0), ("1", 1)]),
        ({"HIP_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "1"}, [("1", 1)]),
        ({"HIP_VISIBLE_DEVICES": ""}, [("0", 0), ("1", 1), ("2", 2), ("3", 3)]),
        ({"ROCR_VISIBLE_DEVICES": "2,3"}, [("0", 2), ("1", 3)]),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, [("1", 3)]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-A000000000000002"}, [("0", 2)]),
        ({"HIP_VISIBLE_DEVICES": "GPU-a000000000000003,0"}, [("3", 3), ("0", 0)]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"ROCR_VISIBLE_DEVICES": "-1"}, []),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"SOME_VISIBLE_DEVICES": "7"}, [("0", 0), ("1", 1), ("2", 2), ("3", 3)]),
    ],
)
def test_visible_devices(tmp_path: Path, visible: dict[str, str], expected: list[tuple[str, int]]) -> None:
    found = find(write_kfd(tmp_path, gpus(MI300X, 4)), visible=visible)
    assert [(one.id, one.index) for one in found.gpus] == expected
    assert found.cls == ("mi300x" if expected else "cpu")


def test_a_limit_is_noted_with_what_it_leaves(tmp_path: Path) -> None:
    found = find(
        write_kfd(tmp_path, gpus(MI300X, 4)),
        visible={"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": ""},
    )
    assert found.notes == (
        "ROCR_VISIBLE_DEVICES=2,3 leaves GPU 2, 3",
        "HIP_VISIBLE_DEVICES is empty, which is read as not set",
    )


@pytest.mark.parametrize(
    ("visible", "words"),
    [
        ({"HIP_VISIBLE_DEVICES": "4"}, ["HIP_VISIBLE_DEVICES=4", "names no GPU", "0 to 3"]),
        ({"HIP_VISIBLE_DEVICES": "0,-1,1"}, ["'-1' names no GPU"]),
        ({"HIP_VISIBLE_DEVICES": "0,0"}, ["'0' names one twice"]),
        ({"HIP_VISIBLE_DEVICES": "0,GPU-a000000000000000"}, ["names one twice"]),
        ({"HIP_VISIBLE_DEVICES": "0,"}, ["'' names no GPU"]),
        ({"HIP_VISIBLE_DEVICES": "all"}, ["'all' names no GPU"]),
        ({"HIP_VISIBLE_DEVICES": "٣"}, ["names no GPU"]),
        ({"HIP_VISIBLE_DEVICES": "GPU-a0"}, ["names several"]),
        ({"HIP_VISIBLE_DEVICES": "GPU-b"}, ["names no GPU"]),
        ({"ROCR_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "1"}, ["HIP_VISIBLE_DEVICES=1", "0 to 0"]),
        ({"ROCR_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "0"}, ["CUDA_VISIBLE_DEVICES=0", "hides all"]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, ["name different GPUs"]),
    ],
)
def test_an_invalid_limit_is_refused(tmp_path: Path, visible: dict[str, str], words: list[str]) -> None:
    text = refused(write_kfd(tmp_path, gpus(MI300X, 4)), visible=visible)
    assert all(word in text for word in words)


@pytest.mark.parametrize("value", ["0", "", "-1", "17", "GPU-x"])
def test_on_a_machine_without_gpus_a_limit_means_nothing(tmp_path: Path, value: str) -> None:
    assert find(write_kfd(tmp_path, []), visible={"CUDA_VISIBLE_DEVICES": value}).cls == "cpu"
    assert find(tmp_path / "none", visible={"CUDA_VISIBLE_DEVICES": value}).cls == "cpu"


@given(st.permutations(range(6)), st.integers(1, 6), st.data())
def test_the_child_gets_the_gpus_that_the_caller_selected(
    order: list[int], count: int, data: st.DataObject
) -> None:
    """HIP's own rule, written down once more: ROCR lists GPUs of the machine, HIP lists places in that list."""
    rocr = order[:count]
    hip = data.draw(st.lists(st.sampled_from(range(count)), min_size=1, unique=True))
    catalog = CATALOG
    label = "linux-north-6gpu"
    visible = {
        "ROCR_VISIBLE_DEVICES": ",".join(map(str, rocr)),
        "HIP_VISIBLE_DEVICES": ",".join(map(str, hip)),
    }
    found = find(Path("/nonexistent"), label=label, visible=visible, catalog=catalog)
    assert [int(one.id) for one in found.gpus] == hip
    assert [one.index for one in found.gpus] == [rocr[place] for place in hip]
