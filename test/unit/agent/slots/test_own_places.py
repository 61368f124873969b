"""What each of several tests at a time has for itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.agent.own_places import OwnPlaces, cpu_share
from ci.agent.slots import Slots
from ci.agent.spec import Spec, parse_spec
from support.agent_process import AgentProcess

pytestmark = pytest.mark.in_container

KINDS = {"TMPDIR": "folder-of-test", "CACHE": "folder-of-slot", "PORT": "first-port", "IDS": "slot-ids"}


def spec(folder: Path, jobs: int) -> Spec:
    variables = [{"name": name, "kind": kind} for name, kind in KINDS.items()]
    sharing = {"alone": [], "variables": variables}
    limits = {"port_first": 24000, "ports_per_slot": 100}
    return parse_spec(json.dumps(AgentProcess(folder).spec(jobs=jobs, sharing=sharing, limits=limits)))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnPlaces]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    # as on a machine of its own
    monkeypatch.setattr("ci.agent.ports._NAME", f"\0{os.getpid()}.{tmp_path.name}")
    (tmp_path / "first").mkdir()
    made = OwnPlaces(spec(tmp_path / "first", 2))
    yield made
    made.remove()


def test_two_runs_on_one_machine_have_ports_of_their_own(places: OwnPlaces, tmp_path: Path) -> None:
    two = spec(tmp_path, 2)
    other = OwnPlaces(two)
    ports = [run.environ(slot, ["0"])["PORT"] for slot in (1, 2) for run in (places, other)]
    assert ports == ["24000", "24100", "24200", "24300"]
    assert other.environ(1, ["0"])["PORT"] == "24100", "the next test of a slot has those of the last"
    other.remove()
    third = OwnPlaces(two)
    assert third.environ(2, ["0"])["PORT"] == "24100"
    third.remove()


def test_slots_share_nothing(places: OwnPlaces) -> None:
    first, second = places.environ(1, ["0"]), places.environ(2, ["1", "2"])
    assert (first["AMD_CI_PORTS"], second["AMD_CI_PORTS"]) == ("24000-24099", "24100-24199")
    assert (second["PORT"], second["IDS"]) == ("24100", "1,2")
    folders = [found[name] for found in (first, second) for name in ("TMPDIR", "CACHE")]
    assert len(set(folders)) == 4
    assert all(Path(folder).is_dir() for folder in folders)


def test_a_tests_folder_is_empty_for_the_next_one_and_a_slots_cache_is_kept(places: OwnPlaces) -> None:
    found = places.environ(1, ["0"])
    for name in ("TMPDIR", "CACHE"):
        (Path(found[name]) / "file").touch()
    places.clear(1)
    again = places.environ(1, ["0"])
    assert again == found
    assert [path.name for path in Path(again["CACHE"]).iterdir()] == ["file"]
    assert list(Path(again["TMPDIR"]).iterdir()) == []


def test_nothing_is_left(places: OwnPlaces, tmp_path: Path) -> None:
    places.environ(1, ["0"])
    places.remove()
    assert list((tmp_path / "t").iterdir()) == []


def test_one_test_at_a_time_has_what_the_run_has(tmp_path: Path) -> None:
    assert OwnPlaces(spec(tmp_path, 1)).environ(1, ["0"]) == {}


def test_cpus_are_shared_by_gpu_where_each_may_have_a_test_and_else_by_slot() -> None:
    four = Slots(ids=tuple("0123"), at_once=4)
    assert cpu_share(range(8), four, 2, ("0", "1")) == [0, 1, 2, 3]
    assert cpu_share(range(8), four, 1, ("3",)) == [6, 7]
    two = Slots(ids=tuple("0123"), at_once=2)
    assert list(cpu_share(range(8), two, 2, ("0",))) == [4, 5, 6, 7]
    assert list(cpu_share(range(2), four, 1, ("0",))) == [0, 1]
    assert list(cpu_share(range(8), four, 1, ())) == [0, 1]


# two NUMA nodes with CPUs, whose numbers are in turns, and between them one of memory alone
NODES = {0: "0,2,4,6", 1: "", 2: "1,3,5,7"}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for number, cpus in NODES.items():
        folder = tmp_path / f"devices/system/node/node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cpus}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("nodes", "usable", "shares"),
    [
        # GPUs 0 and 2 hang on the first node with CPUs, 1 and 3 on the second
        ("0101", range(8), {"0": [0, 2], "1": [1, 3], "2": [4, 6], "3": [5, 7]}),
        ("0001", range(8), {"0": [0], "1": [2], "2": [4], "3": [1, 3, 5, 7]}),
        # this container has CPUs of one node alone, and there is no third node with CPUs
        ("0101", range(0, 8, 2), {"0": [0], "1": [2], "2": [4], "3": [6]}),
        ("0121", range(8), {"0": [0, 1], "3": [6, 7]}),
    ],
)
def test_a_gpus_cpus_are_near_it_where_that_is_known(
    sysfs: Path, nodes: str, usable: range, shares: dict[str, list[int]]
) -> None:
    groups = {str(gpu): ("hive 1", f"CPU node {node}") for gpu, node in enumerate(nodes)}
    slots = Slots(ids=tuple("0123"), at_once=4, groups=groups)
    assert {gpu: list(cpu_share(usable, slots, 1, (gpu,), sysfs)) for gpu in shares} == shares


def test_a_test_of_two_gpus_has_the_cpus_of_both(sysfs: Path) -> None:
    groups = {str(gpu): ("hive 1", f"CPU node {gpu % 2}") for gpu in range(4)}
    slots = Slots(ids=tuple("0123"), at_once=4, groups=groups)
    assert cpu_share(range(8), slots, 1, ("0", "3"), sysfs) == [0, 2, 5, 7]
