"""What a source is taken for: a folder, a file, standard input, a job's name or a test's."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import NothingSelectedError, UsageError
from ci.plan.compare.capsule import encode
from ci.record.event_log import line_of
from ci.repro.find import find_run
from ci.repro.options import ReproOptions
from ci.repro.source import Understood
from support.github_api import FakeGitHub, job, serve
from support.records import ended, run_events
from support.shard_plans import shard_plan

NAME = "stage-b-test-1-gpu-small-amd (linux-north-1gpu, 3/14)"
RUN = "https://github.com/o/r/actions/runs/7"


def found(
    catalog: Catalog, source: str, *, digest: str = "", api: str = "", checkout: str = ""
) -> Understood:
    return find_run(ReproOptions(source=source, api=api, digest=digest), catalog, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which one test of two failed."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "plan.json").write_text(json.dumps(shard_plan().to_json()))
    events = run_events({"a.py": [ended("failed", "product")], "b.py": [ended("passed", "passed")]})
    (path / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    return path


def test_a_run_folder_gives_its_plan_and_what_failed(catalog: Catalog, folder: Path) -> None:
    for source in (folder, folder / "events.jsonl"):
        run = found(catalog, str(source))
        assert (run.kind, run.failed_nodes) == ("run folder", ("a.py",))
        assert run.plan is not None
        assert run.plan.digest == shard_plan().digest


@pytest.mark.parametrize("source", ["", "events.jsonl", "plan.json"])
def test_a_digest_of_what_holds_one_run_is_refused(catalog: Catalog, folder: Path, source: str) -> None:
    for name in (str(folder / source), NAME):
        with pytest.raises(UsageError, match="--digest has no effect"):
            found(catalog, name, digest="123")


def test_an_api_without_a_link_is_refused(catalog: Catalog, folder: Path) -> None:
    with pytest.raises(UsageError, match="--api has no effect"):
        found(catalog, str(folder), api="https://example.org/api/v3")


def test_a_plan_says_nothing_of_failures(catalog: Catalog, folder: Path) -> None:
    run = found(catalog, str(folder / "plan.json"))
    assert (run.kind, run.failed) == ("plan", ())
    assert run.plan == shard_plan()


def test_events_without_their_plan_are_read_as_a_log(catalog: Catalog, folder: Path) -> None:
    (folder / "plan.json").unlink()
    with pytest.raises(UsageError, match="has no run"):
        found(catalog, str(folder / "events.jsonl"))


def test_any_other_file_is_a_log_also_one_that_begins_like_json(catalog: Catalog, tmp_path: Path) -> None:
    for name, begin in (("job.txt", ""), ("job.json", "[log]\n"), ("job.log", "{\n")):
        (tmp_path / name).write_text(f"{begin}{encode(shard_plan())}\n")
        assert found(catalog, str(tmp_path / name)).kind == "log with a capsule"


def test_a_log_on_standard_input(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(encode(shard_plan()).encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    run = found(catalog, "-")
    assert run.plan is not None
    assert run.plan.work == shard_plan().work
    assert {fact.source for fact in run.facts} == {"capsule in standard input"}


def test_a_jobs_name_gives_suite_and_shard(catalog: Catalog) -> None:
    run = found(catalog, NAME)
    assert (run.kind, run.plan, run.fatal) == ("job name", None, False)
    assert run.asked.arguments("") == ("--suite", "1-gpu-small", "--shard", "3/14")


@pytest.mark.usefixtures("own_tree")
@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("test_two.py", "test/registered/amd/test_two.py"),
        ("amd/test_two.py::test_it", "test/registered/amd/test_two.py::test_it"),
    ],
)
def test_a_tests_name_gives_its_suite(catalog: Catalog, source: str, test: str) -> None:
    run = found(catalog, source)
    assert run.asked.arguments("") == ("--suite", "2-gpu", "--test", test)
    assert run.failed_nodes == (test,)
    assert not run.asked.sglang


def test_a_job_of_sglangs_names_the_tree_that_it_needs(catalog: Catalog) -> None:
    plain, flavoured = (
        found(catalog, f"stage-b-test-1-gpu-small-amd{end}").asked
        for end in (" (linux-north-1gpu, 2)", "-rocm720 (linux-north-1gpu)")
    )
    assert plain.arguments("") == (
        "--suite", "1-gpu-small", "--shard", "3/5", "--checkout", "<your SGLang tree>",
    )  # fmt: skip
    assert flavoured.arguments("/sgl")[2:] == (
        "--executor", "docker", "--rocm", "720", "--checkout", "/sgl",
    )  # fmt: skip


@pytest.mark.usefixtures("own_tree")
@pytest.mark.parametrize(
    "source",
    [
        "/sglang-checkout/test/registered/amd/test_two.py::TestIt.test_it",
        "registered/amd/test_two.py::TestIt::test_it",
    ],
)
def test_names_are_taken_as_people_paste_them(catalog: Catalog, source: str) -> None:
    assert found(catalog, source).failed_nodes == ("test/registered/amd/test_two.py::TestIt::test_it",)


def test_a_case_without_its_file_is_a_question(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="names no file") as caught:
        found(catalog, "test_mmlu (__main__.TestAWQ.test_mmlu)")
    assert caught.value.then == "./inv repro FILE.py::TestAWQ::test_mmlu"


@pytest.mark.usefixtures("own_tree")
def test_a_test_of_two_suites_asks_which(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="registered for 2 suites") as caught:
        found(catalog, "test_score.py::test_score")
    lines = [problem.what for problem in caught.value.problems]
    assert lines == [
        f"nox -s {session} -- --suite 1-gpu-small --test test/registered/amd/test_score.py::test_score"
        for session in ("stage_a_amd", "stage_b_amd")
    ]


@pytest.mark.usefixtures("own_tree")
@pytest.mark.parametrize("source", ["test_tow.py", "x/test_two.pyx::y"])
def test_a_test_that_is_unknown_gets_the_nearest(catalog: Catalog, source: str) -> None:
    with pytest.raises(UsageError, match="is not registered") as caught:
        found(catalog, source)
    assert "--checkout PATH" in caught.value.then


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


class TestLinks:
    def test_of_a_runs_jobs_the_one_of_a_suite_is_taken(self, catalog: Catalog, github: FakeGitHub) -> None:
        jobs = [
            job(1, "finish"),
            job(42, NAME, "timed_out"),
            job(3, NAME, "success"),
            job(4, "plan", "skipped"),
        ]
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 4, "jobs": jobs})
        github.put_log(42, encode(shard_plan()).encode())
        run = found(catalog, RUN, api=github.url)
        assert run.kind == "job of Actions: log with a capsule"
        facts = {fact.what: fact.value for fact in run.facts}
        assert (facts["job"], facts["conclusion"]) == (NAME, "timed_out")

    def test_a_failed_job_of_no_suite_is_better_than_none(self, catalog: Catalog, github: FakeGitHub) -> None:
        github.put(
            "/repos/o/r/actions/runs/7/jobs", {"total_count": 1, "jobs": [job(42, "lint", "cancelled")]}
        )
        github.put_log(42, encode(shard_plan()).encode())
        run = found(catalog, RUN, api=github.url)
        assert run.plan is not None
        assert run.plan.work == shard_plan().work

    def test_a_run_of_which_nothing_failed_is_nothing(self, catalog: Catalog, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 1, "jobs": [job(42, NAME, "success")]})
        with pytest.raises(NothingSelectedError, match="none of the 1 jobs of run 7"):
            found(catalog, RUN, api=github.url)

    def test_a_job_whose_log_does_not_say_the_commit_has_the_workflows(
        self, catalog: Catalog, github: FakeGitHub
    ) -> None:
        name = NAME.replace("3/14", "2")
        github.put("/repos/o/r/actions/jobs/42", job(42, name))
        github.put_log(42, b"python3 run_suite.py --hw amd --suite stage-b-test-1-gpu-small-amd\n")
        asked = found(catalog, f"{RUN}/job/42", api=github.url).asked
        assert asked.arguments("")[-1] == f"<your SGLang tree at {'c' * 40}>"

    def test_a_log_that_does_not_say_its_runner_gets_the_readings_of_the_name(
        self, catalog: Catalog, github: FakeGitHub
    ) -> None:
        name = NAME.replace("3/14", "2")
        github.put("/repos/o/r/actions/jobs/42", job(42, name))
        log = f"python3 run_suite.py --hw amd --suite {name.partition(' ')[0]} --auto-partition-id 2 --auto-partition-size 14\n"
        github.put_log(42, log.encode())
        run = found(catalog, f"{RUN}/job/42", api=github.url)
        assert run.plan is None
        assert any(fact.what == "reading" for fact in run.facts)
