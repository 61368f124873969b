"""Trees that tests build: this repository with a few tests, an SGLang checkout of stubs, and a double of the KFD's sysfs."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "GIB",
    "OWN_TESTS",
    "gpu_properties",
    "registrations",
    "write_kfd",
    "write_own_tree",
    "write_sglang_tree",
    "write_stub_tree",
]

GIB = 2**30

_DATA = Path(__file__).parents[1] / "data"
_MAIN = 'if __name__ == "__main__":\n    unittest.main()\n'


def _own_test(body: str, *suites: str, nightly: bool = False) -> str:
    imports = "import harness.server\nfrom harness.bounds import check\nfrom harness.register import register_amd_ci\n"
    calls = "\n".join(f'register_amd_ci(est_time=60, suite="{suite}", nightly={nightly})' for suite in suites)
    return f"{imports}\n{calls}\n\n\n{body}\n\n\n{_MAIN.replace('unittest.main', 'harness.server.main')}"


_A, _B, _WEST, _TWO = (
    "stage-a-test-1-gpu-small-amd",
    "stage-b-test-1-gpu-small-amd",
    "stage-b-test-1-gpu-west-amd",
    "stage-b-test-2-gpu-amd",
)
_FABRIC, _FOUR, _EIGHT = "stage-b-test-8-gpu-fabric-amd", "stage-c-test-4-gpu-amd", "stage-c-test-8-gpu-amd"
_NIGHTLY = "nightly-amd-8-gpu-west-big-flash"
_EMPTY = "def test_it():\n    pass"
# The tests of `write_own_tree`, by file: those that the rows of test/support/catalog name, and some for every suite.
OWN_TESTS = {
    f"test/registered/amd/{name}.py": text
    for name, text in {
        "test_score": _own_test(
            'def test_score():\n    check("accuracy", 1)\n    check("latency_s", 1)', _A, _B
        ),
        "test_speed": _own_test('def test_speed():\n    check("ttft_s", 1)\n    check("itl_s", 1)', _B),
        "test_flaky": _own_test("def test_greedy():\n    pass", _B),
        "test_big_fp4": _own_test(_EMPTY, _NIGHTLY, nightly=True),
        "test_big_fp8": _own_test(_EMPTY, _NIGHTLY, nightly=True),
        "test_two": _own_test(_EMPTY, _TWO),
        "test_west": _own_test(_EMPTY, _WEST, _FABRIC),
        "test_four": _own_test(_EMPTY, _FOUR),
        **{f"test_eight_{number}": _own_test(_EMPTY, _EIGHT) for number in (1, 2, 3)},
    }.items()
}


def write_own_tree(tree: Path) -> Path:
    """This repository as far as commands look at it: its marker and `OWN_TESTS`."""
    for file, text in {"ci/catalog/discovery.toml": "", **OWN_TESTS}.items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(text)
    return tree


def registrations() -> list[dict[str, Any]]:
    """Every registration in `test/registered` of SGLang's main on 2026-05-29: 1,053 in 781 files."""
    document = json.loads((_DATA / "registrations.json").read_text())
    rows: list[dict[str, Any]] = document["registrations"]
    return rows


def write_sglang_tree(tree: Path, files: Mapping[str, str | bytes]) -> Path:
    """An SGLang checkout as far as discovery looks: its markers and `files` by relative path."""
    for file, text in {"python/sglang/__init__.py": "", **files}.items():
        path = tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tree / "test/registered").mkdir(parents=True, exist_ok=True)
    return tree


def write_stub_tree(tree: Path) -> Path:
    """The 781 files of `registrations.json` as stubs: one test class, a main block, the file's registrations.

    The spelling of a registration (by position, by keyword, stage and runner) changes from row to row.
    """
    calls: dict[str, list[str]] = defaultdict(list)
    for number, row in enumerate(registrations()):
        calls[row["file"]].append(_call(row, number % 3))
    body = "import unittest\n\nfrom sglang.test.ci.ci_register import *\n\n{calls}\n\n\nclass TestStub(unittest.TestCase):\n    pass\n\n\n"
    return write_sglang_tree(
        tree, {file: body.format(calls="\n".join(lines)) + _MAIN for file, lines in calls.items()}
    )


def _call(row: Mapping[str, Any], spelling: int) -> str:
    est, suite, nightly, disabled = row["est_time_s"], row["suite"], row["nightly"], row["disabled"]
    if spelling == 0:
        arguments = f"{est:g}, {suite!r}, {nightly}, {disabled!r}"
    elif spelling == 1 and "-test-" in suite:
        stage, runner = suite.split("-test-", 1)
        arguments = (
            f"{est}, runner_config={runner!r}, stage={stage!r}, nightly={nightly}, disabled={disabled!r}"
        )
    else:
        arguments = f"\n    suite={suite!r},\n    est_time={est:g}"
        arguments += ",\n    nightly=True" if nightly else ""
        arguments += f",\n    disabled={disabled!r},\n" if disabled is not None else ",\n"
    return f"register_{row['backend']}_ci({arguments})"


def gpu_properties(
    device_id: int, *, gfx: int, simds: int = 1216, minor: int = 128, unique_id: int = 0, vendor: int = 4098
) -> str:
    """The `properties` file of a GPU's node as the KFD writes it: a name and a decimal number per line."""
    return (
        f"cpu_cores_count 0\nsimd_count {simds}\nmem_banks_count 1\nwave_front_size 64\ngfx_target_version {gfx}\n"
        f"vendor_id {vendor}\ndevice_id {device_id}\nlocation_id 1280\ndomain 0\ndrm_render_minor {minor}\n"
        f"unique_id {unique_id}\nnum_xcc 8\n"
    )


def write_kfd(sysfs: Path, gpus: Sequence[tuple[str, Sequence[tuple[int, int]]]], *, cpus: int = 2) -> Path:
    """A double of `/sys` as the KFD fills it (no AMD GPU is at hand): CPU nodes first, then one node per GPU.

    Args:
        sysfs: the folder that stands for `/sys`.
        gpus: per GPU its `properties` and its memory banks as (heap type, size in bytes).
        cpus: how many nodes are CPU sockets.
    """
    nodes = sysfs / "class/kfd/kfd/topology/nodes"
    nodes.mkdir(parents=True)
    for number in range(cpus):
        _write_node(
            nodes / str(number),
            "cpu_cores_count 64\nsimd_count 0\nvendor_id 0\ndevice_id 0\n",
            [(0, 512 * GIB)],
        )
    for number, (properties, banks) in enumerate(gpus, start=cpus):
        _write_node(nodes / str(number), properties, banks)
    return sysfs


def _write_node(node: Path, properties: str, banks: Sequence[tuple[int, int]]) -> None:
    node.mkdir()
    (node / "properties").write_text(properties)
    for number, (heap, size) in enumerate(banks):
        bank = node / "mem_banks" / str(number)
        bank.mkdir(parents=True)
        (bank / "properties").write_text(f"heap_type {heap}\nsize_in_bytes {size}\nflags 0\nwidth 8192\n")
