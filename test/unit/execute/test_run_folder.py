"""The folders of runs: made once each, found again, removed when they are old."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ci.errors import InfrastructureError, UsageError
from ci.execute.run_folder import (
    RunFolder,
    find_folder,
    make_folder,
    make_report_folder,
    newest_folder,
    prune_folders,
    read_plan,
)
from ci.plan.model import Plan
from support.planning import catalog, facts, planned, registration, request
from support.slurm_places import PLACE

NOON = datetime(2026, 5, 29, 12, tzinfo=UTC)


def plan_in(runs: Path) -> Plan:
    made = planned(catalog(), facts([registration("test/registered/a.py")]), request())
    return replace(made, placement=replace(made.placement, runs_dir=str(runs)))


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    plan = plan_in(tmp_path / "runs")
    one, two = (make_folder(plan, NOON) for _ in range(2))
    assert one.name == f"20260529T120000Z-stage-a-amd-{plan.digest[:8]}"
    assert two.name == f"{one.name}-2"
    assert (one.logs.is_dir(), one.logs.parent, one.logs.name) == (True, one.path, "logs")


def test_the_folder_of_a_slurm_run_is_on_the_shared_file_system_and_found_as_any_other(
    tmp_path: Path,
) -> None:
    runs, shared = tmp_path / "runs", tmp_path / "shared"
    plan = plan_in(runs)
    place = replace(PLACE, shared=str(shared))
    folder = make_folder(replace(plan, placement=replace(plan.placement, slurm=place)), NOON)
    assert folder.path.parent == shared
    folder.events.write_bytes(b"")
    folder.plan.write_text("{}")
    assert find_folder(runs, folder.name) == folder
    newest = newest_folder(runs, "stage-a-amd")
    assert newest is not None
    assert newest.path.resolve() == folder.path
    assert prune_folders(runs, keep=0, dry=False) == (runs / folder.name,)
    assert not folder.path.exists()
    assert not (runs / folder.name).is_symlink()


def test_runs_that_are_on_the_shared_file_system_anyway_need_no_link(tmp_path: Path) -> None:
    (tmp_path / "same").symlink_to(tmp_path / "runs")
    plan = plan_in(tmp_path / "runs")
    place = replace(PLACE, shared=str(tmp_path / "same"))
    folder = make_folder(replace(plan, placement=replace(plan.placement, slurm=place)), NOON)
    assert folder.path.parent == tmp_path / "runs"
    assert folder.logs.is_dir()


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InfrastructureError, match="no run folder can be made") as caught:
        make_folder(plan_in(tmp_path / "runs"), NOON)
    assert str(tmp_path / "runs") in caught.value.what
    assert "AMD_CI_RUNS" in caught.value.then


def folder(runs: Path, name: str, *, events: bool = True) -> RunFolder:
    path = runs / name
    path.mkdir(parents=True)
    (path / "plan.json").write_text("{}")
    if events:
        (path / "events.jsonl").touch()
    return RunFolder(path=path)


def test_the_newest_of_a_stage_counts_whatever_it_holds(tmp_path: Path) -> None:
    assert newest_folder(tmp_path / "none", "stage-a-amd") is None
    folder(tmp_path, "20260101T000000Z-stage-a-amd-1")
    folder(tmp_path, "20260104T000000Z-stage-b-amd-1")
    newest = folder(tmp_path, "20260102T000000Z-stage-a-amd-1", events=False)
    assert newest_folder(tmp_path, "stage-a-amd") == newest


def test_a_clock_that_was_set_back_does_not_make_an_old_run_the_newest(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    copied = folder(tmp_path, "20260530T000000Z-stage-a-amd-1")
    first = make_folder(plan, NOON)
    second = make_folder(plan, NOON - timedelta(days=90))
    assert newest_folder(tmp_path, "stage-a-amd") == second
    for each in (first, second):
        each.plan.write_text("{}")
    assert prune_folders(tmp_path, keep=1, dry=True) == (copied.path, first.path)


def test_a_report_of_several_runs_is_a_folder_among_them_and_goes_with_the_old_ones(tmp_path: Path) -> None:
    first, second = (make_report_folder(tmp_path, NOON) for _ in range(2))
    assert second.name == f"{first.name}-2"
    newest = make_folder(plan_in(tmp_path), NOON)
    newest.plan.write_text("{}")
    assert prune_folders(tmp_path, keep=1, dry=False) == (first, second)
    assert newest.path.is_dir()


def test_a_run_is_found_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    made = folder(runs, "20260101T000000Z-stage-a-amd-1")
    assert find_folder(runs, made.name) == made
    assert find_folder(tmp_path / "none", str(made.path)) == made
    monkeypatch.chdir(runs)
    assert find_folder(tmp_path / "none", made.name) == made
    with pytest.raises(UsageError, match="unknown run 20260101T000000Z-stage-a-amd-2") as caught:
        find_folder(runs, "20260101T000000Z-stage-a-amd-2")
    assert made.name in caught.value.cause


def test_a_folder_without_events_has_an_empty_record(tmp_path: Path) -> None:
    assert folder(tmp_path, "x", events=False).record().tests == ()


def test_the_oldest_go_and_other_folders_stay(tmp_path: Path) -> None:
    assert prune_folders(tmp_path / "none", keep=1, dry=False) == ()
    names = [f"2026010{day}T000000Z-stage-a-amd-1" for day in (1, 2, 3)]
    for name in names:
        folder(tmp_path, name)
    (tmp_path / "0-mine").mkdir()
    old = tuple(tmp_path / name for name in names[:2])
    assert prune_folders(tmp_path, keep=1, dry=True) == old
    assert all(path.is_dir() for path in old)
    assert prune_folders(tmp_path, keep=1, dry=False) == old
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0-mine", names[2]]
    with pytest.raises(UsageError, match="--keep is -1"):
        prune_folders(tmp_path, keep=-1, dry=False)


def test_a_plan_is_read_from_its_file_and_from_its_folder(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    (tmp_path / "plan.json").write_text(plan.text())
    assert read_plan(tmp_path) == read_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot read"), ("{", "is not JSON"), ("[]", "plan.json")]
)
def test_what_is_not_a_plan_is_a_usage_error(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UsageError, match=says):
        read_plan(tmp_path)
