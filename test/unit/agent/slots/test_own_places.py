"""What each of several tests at a time has for itself."""

import json
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
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnPlaces:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    return OwnPlaces(spec(tmp_path, 2))


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
    assert cpu_share(range(8), two, 2, ("0",)) == [4, 5, 6, 7]
    assert cpu_share(range(2), four, 1, ("0",)) == [0, 1]
    assert cpu_share(range(8), four, 1, ()) == [0, 1]
