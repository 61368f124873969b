"""Where the runs of a merged report come from."""

import shutil
import zipfile
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import ExitCode
from ci.record.merge import Planned
from ci.repro.gather_runs import RunGatherer
from support.github_api import job, serve
from support.merged_runs import STAGE_B_SMALL, shard_folder


@pytest.fixture
def gatherer(catalog: Catalog, tmp_path: Path) -> RunGatherer:
    into = tmp_path / "report"
    into.mkdir()
    return RunGatherer(into, catalog, {})


def packed(folder: Path, archive: Path) -> Path:
    return Path(shutil.make_archive(str(archive.with_suffix("")), "zip", folder.parent, folder.name))


def problems(gatherer: RunGatherer) -> list[str]:
    return [str(each.problem) for each in gatherer.unusable]


def test_folders_of_runs_and_archives_give_the_same(gatherer: RunGatherer, tmp_path: Path) -> None:
    shard_folder(tmp_path / "given/artifact-1/one", 1)
    two = shard_folder(tmp_path / "elsewhere/two", 2)
    packed(two, tmp_path / "given/two.zip")
    gatherer.read(str(tmp_path / "given"))
    assert problems(gatherer) == []
    assert [found.name for found in gatherer.found] == [f"{STAGE_B_SMALL} 1/3", f"{STAGE_B_SMALL} 2/3"]
    for index, found in enumerate(gatherer.found, start=1):
        log = tmp_path / "report" / found.folder / "logs/test.1.log"
        assert log.read_text() == f"the log of attempt 1 in shard {index}\n"


def test_a_report_among_the_runs_adds_none_and_is_a_source_of_its_own(
    gatherer: RunGatherer, tmp_path: Path
) -> None:
    shard_folder(tmp_path / "runs/one", 1)
    copy = shard_folder(tmp_path / "runs/2026-report/runs/two", 2).parent.parent
    (copy / "report.html").touch()
    gatherer.read(str(tmp_path / "runs"))
    assert [found.name for found in gatherer.found] == [f"{STAGE_B_SMALL} 1/3"]
    gatherer.read(str(copy))
    assert [found.name for found in gatherer.found] == [f"{STAGE_B_SMALL} 1/3", f"{STAGE_B_SMALL} 2/3"]


def test_everything_that_cannot_be_read_is_named_and_the_rest_is_read(
    gatherer: RunGatherer, tmp_path: Path
) -> None:
    good = shard_folder(tmp_path / "good", 1)
    whole = packed(good, tmp_path / "whole.zip")
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:300])
    spoilt = bytearray(whole.read_bytes())
    at = spoilt.index(b"events.jsonl") + 60
    spoilt[at : at + 20] = b"\0" * 20
    (tmp_path / "spoilt.zip").write_bytes(spoilt)
    (tmp_path / "text.txt").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.md", "nothing of ours")
    planless = shard_folder(tmp_path / "planless", 2)
    (planless / "plan.json").unlink()
    (tmp_path / "empty").mkdir()
    for name in ("cut.zip", "spoilt.zip", "text.txt", "other.zip", "planless", "empty", "nowhere", "good"):
        gatherer.read(str(tmp_path / name))
    assert [found.where for found in gatherer.found] == [str(good)]
    wrong = dict(
        zip(
            ("cut", "spoilt", "text", "other", "planless", "empty", "nowhere"),
            problems(gatherer),
            strict=True,
        )
    )
    assert "is a damaged zip archive" in wrong["cut"]
    assert "is a damaged zip archive" in wrong["spoilt"]
    assert "is not a zip archive" in wrong["text"]
    assert "no run folder in it" in wrong["other"]
    assert f"cannot read {planless}" in wrong["planless"]
    assert "no run folder and no zip archive in it" in wrong["empty"]
    assert "is not a run folder, a zip archive or a link" in wrong["nowhere"]


def test_an_archive_writes_nothing_outside_its_folder(gatherer: RunGatherer, tmp_path: Path) -> None:
    good = shard_folder(tmp_path / "good", 1)
    archive = packed(good, tmp_path / "evil.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("good/logs/../../../../evil.log", "x")
        file.writestr("../evil/events.jsonl", "{}\n")
        file.writestr("/evil/events.jsonl", "{}\n")
    before = sorted(path for path in tmp_path.rglob("*") if "report" not in path.parts)
    gatherer.read(str(archive))
    assert sorted(path for path in tmp_path.rglob("*") if "report" not in path.parts) == before
    assert not list(tmp_path.rglob("evil.log"))
    assert len(gatherer.found) == 1


def test_a_link_gives_its_artifacts_and_what_its_jobs_were_to_run(catalog: Catalog, tmp_path: Path) -> None:
    into = tmp_path / "report"
    into.mkdir()
    data = packed(shard_folder(tmp_path / "one", 1), tmp_path / "one.zip").read_bytes()
    with serve() as github:
        names = [f"{STAGE_B_SMALL} (linux-north-1gpu, {index}/3)" for index in (1, 2)]
        jobs = [job(number, f"wave-1 / {name}", "success") for number, name in enumerate(names, start=1)]
        jobs += [job(3, "finish", "success"), job(4, f"{STAGE_B_SMALL} (x, 3/3)", "skipped")]
        github.put("/repos/o/r/actions/runs/7/jobs", {"jobs": jobs})
        kept = [
            {"id": 11, "name": "shard-1", "expired": False},
            {"id": 12, "name": "shard-2", "expired": True},
            {"id": 13, "name": "page", "expired": False},
        ]
        github.put("/repos/o/r/actions/runs/7/artifacts", {"artifacts": kept})
        github.put(
            "/repos/o/r/actions/artifacts/11/zip", b"", 302, Location=f"{github.storage}/store/11?sig=s"
        )
        github.put("/store/11", data)
        with zipfile.ZipFile(tmp_path / "page.zip", "w") as archive:
            archive.writestr("report.html", "<!doctype html>")
        github.put("/repos/o/r/actions/artifacts/13/zip", (tmp_path / "page.zip").read_bytes())
        gatherer = RunGatherer(into, catalog, {"GITHUB_TOKEN": "t"}, api=github.url)
        gatherer.read("https://github.com/o/r/actions/runs/7")
    assert [found.name for found in gatherer.found] == [f"{STAGE_B_SMALL} 1/3"]
    assert problems(gatherer) == [
        "artifact shard-2 of run 7: has expired (its repository keeps artifacts for some days)"
    ]
    assert gatherer.planned is not None
    assert [str(planned.shard) for planned in gatherer.planned] == [
        f"{STAGE_B_SMALL} 1/3",
        f"{STAGE_B_SMALL} 2/3",
    ]
    assert gatherer.planned[0] == Planned(
        shard=gatherer.found[0].shards[0], page="https://github.com/o/r/actions/runs/7/job/1"
    )
    assert all(authorization == "" for _, path, authorization in github.asked if path.startswith("/store/"))


def test_a_link_that_github_refuses_is_one_problem(catalog: Catalog, tmp_path: Path) -> None:
    with serve() as github:
        gatherer = RunGatherer(tmp_path, catalog, {}, api=github.url)
        gatherer.read("https://github.com/o/r/actions/runs/7")
    (each,) = gatherer.unusable
    assert each.code is ExitCode.USAGE
    assert "run 7 was not found (404)" in each.problem.what
