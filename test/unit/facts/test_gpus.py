"""What the KFD's topology, rocminfo and amd-smi say. All three are doubles: no AMD GPU is at hand."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.facts.gpus import Gpu, parse_amd_smi, parse_rocminfo, read_kfd
from support.machines import (
    GFX942,
    GFX950,
    MI300X,
    MI300X_VF,
    MI325X,
    MI325X_VF,
    MI355X,
    Tools,
    find,
    gpu,
    gpus,
    refused,
    rocminfo,
    smi_row,
)
from support.trees import GIB, gpu_properties, write_kfd

# --- the KFD's topology


@pytest.mark.parametrize(
    ("device", "gfx", "cls"),
    [
        (MI300X, GFX942, "mi300x"),
        (MI300X_VF, GFX942, "mi300x"),
        (MI325X, GFX942, "mi325x"),
        (MI325X_VF, GFX942, "mi325x"),
        (MI355X, GFX950, "mi355x"),
    ],
)
def test_the_class_goes_by_the_device_id(tmp_path: Path, device: int, gfx: int, cls: str) -> None:
    found = find(write_kfd(tmp_path, gpus(device, 8, gfx=gfx)))
    assert (found.cls, found.source, found.notes) == (cls, "KFD topology", ())
    assert [one.id for one in found.gpus] == [str(number) for number in range(8)]


def test_all_that_the_topology_says_is_kept(tmp_path: Path) -> None:
    properties = gpu_properties(MI300X, gfx=GFX942, minor=153, unique_id=0x21B6D61638A86F8C)
    sysfs = write_kfd(tmp_path, [(properties, [(1, 16 * GIB), (2, 176 * GIB), (4, GIB)])])
    assert find(sysfs).gpus == (
        Gpu(
            id="0",
            index=0,
            node=2,
            pci_id=MI300X,
            target="gfx942",
            vram_mib=192 * 1024,
            unique_id="21b6d61638a86f8c",
            groups=("GPU node 2",),
        ),
    )


def test_a_gpu_is_in_its_hive_and_on_the_cpu_node_that_is_nearest(tmp_path: Path) -> None:
    """The links are made up as the KFD writes them: type 2 over PCIe, 11 over XGMI."""
    rows = [(f"{properties}hive_id {0xB7}\n", banks) for properties, banks in gpus(MI300X, 2)]
    sysfs = write_kfd(tmp_path, rows)
    nodes = sysfs / "class/kfd/kfd/topology/nodes"
    links = {2: [(2, 0, 20), (2, 1, 52), (11, 3, 15)], 3: [(2, 0, 52), (2, 1, 20), (2, 2, 15)]}
    for node, ends in links.items():
        for number, (kind, end, weight) in enumerate(ends):
            link = nodes / f"{node}/io_links/{number}"
            link.mkdir(parents=True)
            (link / "properties").write_text(
                f"type {kind}\nnode_from {node}\nnode_to {end}\nweight {weight}\n"
            )
    assert [gpu.groups for gpu in find(sysfs).gpus] == [("hive b7", "CPU node 0"), ("hive b7", "CPU node 1")]


def test_nodes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    found = find(write_kfd(tmp_path, gpus(MI300X, 12)))
    assert [one.node for one in found.gpus] == list(range(2, 14))


def test_tools_are_not_asked_when_the_topology_is_there(tmp_path: Path) -> None:
    tools = Tools()
    find(write_kfd(tmp_path, gpus(MI300X, 1)), run=tools)
    assert tools.asked == []


def test_a_machine_without_gpus_is_cpu(tmp_path: Path) -> None:
    found = find(write_kfd(tmp_path, []))
    assert (found.cls, found.gpus, found.source) == ("cpu", (), "KFD topology")


def test_a_machine_without_anything_is_cpu_and_says_what_was_asked(tmp_path: Path) -> None:
    tools = Tools()
    found = find(tmp_path, run=tools)
    assert (found.cls, found.gpus) == ("cpu", ())
    assert "rocminfo" in found.source
    assert [argv[-1] if "rocminfo" in argv else argv[0] for argv in tools.asked] == ["rocminfo", "amd-smi"]


def test_a_gpu_that_the_container_was_not_given_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the kernel answers EPERM there, to root as well: no file mode can stand in for it
    sysfs = write_kfd(tmp_path, gpus(MI300X, 3))
    read_text = Path.read_text

    def forbid(path: Path, *, errors: str | None = None) -> str:
        if path.parent.name == "3":
            raise PermissionError(1, "Operation not permitted")
        return read_text(path, errors=errors)

    monkeypatch.setattr(Path, "read_text", forbid)
    found = find(sysfs)
    assert [(one.id, one.node) for one in found.gpus] == [("0", 2), ("1", 4)]
    assert found.notes == ("KFD node 3 may not be read: that GPU is not available to this run",)


def test_a_broken_node_is_named_and_hides_no_other(tmp_path: Path) -> None:
    sysfs = write_kfd(tmp_path, gpus(MI300X, 2))
    (sysfs / "class/kfd/kfd/topology/nodes/2/properties").unlink()
    found = find(sysfs)
    assert [one.node for one in found.gpus] == [3]
    assert found.notes == ("cannot read KFD node 2: No such file or directory",)


def test_a_gpu_of_another_vendor_is_left_out(tmp_path: Path) -> None:
    alien = gpu_properties(MI300X, gfx=GFX942, vendor=0x10DE)
    found = find(write_kfd(tmp_path, [(alien, [(1, 192 * GIB)]), gpu(MI300X)]))
    assert [one.node for one in found.gpus] == [3]
    assert found.notes == ("KFD node 2 is of vendor 0x10de and is left out",)


def test_lines_that_are_no_property_are_passed_over(tmp_path: Path) -> None:
    properties, banks = gpu(MI300X)
    found = find(write_kfd(tmp_path, [(f"\nname aqua vanjaram\ncapability -1\n{properties}\x00", banks)]))
    assert found.cls == "mi300x"


@pytest.mark.parametrize(
    ("version", "target"),
    [
        (90402, "gfx942"),
        (90500, "gfx950"),
        (90010, "gfx90a"),
        (90012, "gfx90c"),
        (110003, "gfx1103"),
        (0, ""),
    ],
)
def test_the_version_number_is_read_as_llvm_names_it(tmp_path: Path, version: int, target: str) -> None:
    seen = read_kfd(write_kfd(tmp_path, [gpu(1, gfx=version)]))
    assert seen is not None
    assert seen.gpus[0].target == target


# --- rocminfo and amd-smi


def test_rocminfo_is_asked_without_a_topology(tmp_path: Path) -> None:
    text = rocminfo(
        (MI325X_VF, "AMD Instinct Mi325X VF", 255.69), (MI325X_VF, "AMD Instinct Mi325X VF", 255.69)
    )
    found = find(tmp_path, run=Tools({"rocminfo": text}))
    assert (found.cls, found.source, found.notes) == ("mi325x", "rocminfo", ())
    assert [(one.id, one.node, one.unique_id) for one in found.gpus] == [
        ("0", 2, "00000000000000a0"),
        ("1", 3, "00000000000000a1"),
    ]
    assert found.gpus[0].vram_mib == pytest.approx(255.69 * 1024, abs=1)


def test_rocminfo_counts_all_gpus_whatever_the_caller_hides(tmp_path: Path) -> None:
    tools = Tools({"rocminfo": rocminfo(*[(MI300X, "AMD Instinct MI300X", 192.0)] * 4)})
    found = find(tmp_path, run=tools, visible={"ROCR_VISIBLE_DEVICES": "3,1"})
    assert tools.asked == [("env", "-u", "ROCR_VISIBLE_DEVICES", "rocminfo")]
    assert [(one.id, one.index) for one in found.gpus] == [("0", 3), ("1", 1)]


@pytest.mark.parametrize(
    ("chip", "name", "vram_gib", "cls"),
    [
        (MI300X, "AMD Radeon Graphics", 192, "mi300x"),
        (0, "AMD Instinct MI300X", 192, "mi300x"),
        (0, "AMD Instinct Mi325X VF", 255.69, "mi325x"),
        (0, "AMD Radeon Graphics", 192, "mi300x"),
        (0, "AMD Radeon Graphics", 256, "mi325x"),
    ],
)
def test_the_name_and_then_the_memory_decide_without_an_id(
    tmp_path: Path, chip: int, name: str, vram_gib: float, cls: str
) -> None:
    assert find(tmp_path, run=Tools({"rocminfo": rocminfo((chip, name, vram_gib))})).cls == cls


@pytest.mark.parametrize(
    ("chip", "name", "vram_gib", "words"),
    [
        (MI300X, "AMD Instinct MI325X", 192, ["0x74a1 says mi300x", "'AMD Instinct MI325X' says mi325x"]),
        (0, "AMD Instinct MI300X", 256, ["'AMD Instinct MI300X' says mi300x", "256.0 GiB"]),
        (0, "AMD Instinct MI355X", 288, ["'AMD Instinct MI355X' says mi355x", "gfx942"]),
        (0, "AMD Instinct MI300X HF", 100, ["shows no class", "AMD Instinct MI300X HF, gfx942, 100.0 GiB"]),
    ],
)
def test_rocminfo_that_contradicts_itself_is_refused(
    tmp_path: Path, chip: int, name: str, vram_gib: float, words: list[str]
) -> None:
    text = refused(tmp_path, run=Tools({"rocminfo": rocminfo((chip, name, vram_gib))}))
    assert all(word in text for word in ["rocminfo", *words])


def test_amd_smi_is_asked_when_rocminfo_names_no_gpu(tmp_path: Path) -> None:
    static = [
        smi_row(0, "0x74a1", "AMD Instinct MI300X", {"value": 196592, "unit": "MB"}),
        smi_row(1, "0x74a1", "AMD Instinct MI300X", {"value": 206142726144, "unit": "B"}),
    ]
    listing = [{"gpu": 0, "node_id": 9}, {"gpu": 1, "node_id": 8}]
    tools = Tools(
        {"rocminfo": rocminfo(), "amd-smi static": json.dumps(static), "amd-smi list": json.dumps(listing)}
    )
    found = find(tmp_path, run=tools)
    assert (found.cls, found.source, found.notes) == ("mi300x", "amd-smi", ())
    assert [(one.id, one.node, one.unique_id, one.vram_mib) for one in found.gpus] == [
        ("0", 8, "00000000000000b1", 196593),
        ("1", 9, "00000000000000b0", 196592),
    ]


def test_the_newer_shape_of_amd_smis_json_and_its_gaps(tmp_path: Path) -> None:
    rows = [
        smi_row(0, "N/A", "AMD Instinct MI355X", {"value": 288, "unit": "GB"}, "N/A"),
        {"gpu": 1},
        {"asic": {}},
    ]
    found = find(tmp_path, run=Tools({"amd-smi static": json.dumps({"gpu_data": rows})}))
    assert (found.cls, len(found.gpus)) == ("mi355x", 1)
    assert found.notes == ("amd-smi list has no KFD nodes: the order of the GPUs is a guess",)


@given(
    st.text(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists).map(json.dumps)
)
def test_no_output_of_a_tool_makes_reading_raise(text: str) -> None:
    assert parse_rocminfo(text) == ()
    assert parse_amd_smi(text, text) == ()


JSON_SIZES = (
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.dictionaries(
        st.sampled_from(["value", "unit"]),
        st.none() | st.integers() | st.sampled_from(["B", "MB", "GB", "N/A"]),
    )
)


@given(st.text(max_size=12), st.none() | st.text(max_size=12), JSON_SIZES)
def test_no_value_of_amd_smi_makes_reading_raise(device: str, name: str | None, size: object) -> None:
    row = smi_row(0, device, name, size)  # type: ignore[arg-type]  # null is what a gap may hold
    assert len(parse_amd_smi(json.dumps([row]), "")) == 1
