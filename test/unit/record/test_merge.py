"""The runs of a workflow as one record."""

from dataclasses import replace

from ci.catalog.verdicts import Status
from ci.errors import ExitCode, Problem
from ci.plan.shards import Shard
from ci.record.fold import exit_code
from ci.record.merge import Planned, Unusable, merge
from ci.record.model import SuiteShard
from ci.record.shard_times import suite_times
from support.merged_runs import STAGE_B_SMALL, of_other_commit, shard_run
from support.records import ended


def shard(index: int, count: int = 3) -> SuiteShard:
    return SuiteShard(suite=STAGE_B_SMALL, shard=Shard(index=index, count=count))


def words(merged_problems: tuple[Unusable, ...]) -> list[str]:
    return [str(each.problem) for each in merged_problems]


def test_all_shards_make_one_record_of_all_tests_with_each_tests_own_run() -> None:
    merged = merge([shard_run(2), shard_run(3), shard_run(1)], None)
    record = merged.record
    assert (merged.unusable, merged.notes, merged.code, exit_code(record)) == ((), (), 0, 0)
    assert [part.name for part in record.parts] == [f"{STAGE_B_SMALL} {index}/3" for index in (1, 2, 3)]
    assert sorted(test.id for test in record.tests) == sorted(
        f"test/registered/x/test_{n}.py" for n in range(12)
    )
    for part in record.parts:
        assert all(record.part_of(test) is part for test in part.record.tests)
        assert all(record.run_of(test) is part.record for test in part.record.tests)


def test_times_count_from_the_first_run_and_logs_are_where_they_lie() -> None:
    late = shard_run(2, time="2026-05-29T07:13:03.000Z")
    record = merge([late, shard_run(1), shard_run(3)], None).record
    (part,) = (part for part in record.parts if part.shards[0].shard.index == 2)
    (alone,) = {attempt.started_s for attempt in late.record.tests[0].attempts}
    attempt = part.record.tests[0].attempts[0]
    assert attempt.started_s == alone + 60
    assert attempt.start.log == "runs/run-2/logs/test.1.log"


def test_missing_shards_are_named_together_and_make_no_pass() -> None:
    merged = merge([shard_run(2)], None)
    (text,) = words(merged.unusable)
    assert f"{STAGE_B_SMALL}: no run of shards 1/3, 3/3 was found" in text
    assert merged.code == ExitCode.INFRASTRUCTURE
    assert exit_code(merged.record) == ExitCode.INFRASTRUCTURE


def test_what_was_planned_decides_what_is_missing() -> None:
    merged = merge(
        [shard_run(2)], [Planned(shard=shard(2), page="https://github.com/o/r/actions/runs/7/job/1")]
    )
    assert merged.code == 0
    assert merged.record.parts[0].page.endswith("/job/1")
    other = SuiteShard(suite="stage-c-test-4-gpu-amd", shard=Shard(index=1, count=1))
    merged = merge([shard_run(2)], [Planned(shard=shard(2)), Planned(shard=other)])
    assert "stage-c-test-4-gpu-amd: no run of it was found" in words(merged.unusable)[0]
    merged = merge([shard_run(2), shard_run(1)], [Planned(shard=shard(2))])
    assert merged.notes == (f"{STAGE_B_SMALL} 1/3: not among the jobs that were planned (run-1)",)


def test_of_two_runs_of_one_shard_the_newer_one_counts_and_it_is_said() -> None:
    test = "test/registered/x/test_11.py"
    old = shard_run(1, attempts={test: [ended("failed", "product")]}, where="old", run="a")
    new = shard_run(1, where="new", run="b", time="2026-05-29T09:00:00.000Z")
    merged = merge([new, shard_run(2), shard_run(3), old], None)
    assert merged.code == exit_code(merged.record) == 0
    (note,) = merged.notes
    times = "2026-05-29T07:12:03.000Z and 2026-05-29T09:00:00.000Z"
    assert note == f"{STAGE_B_SMALL} 1/3: run twice, {times}; the newer one counts, new"


def test_a_run_that_is_given_twice_counts_once() -> None:
    merged = merge([shard_run(1, 1, where="folder"), shard_run(1, 1, where="x.zip:run")], None)
    assert merged.notes == (f"{STAGE_B_SMALL}: one run is in folder and in x.zip:run; it counts once",)
    assert len(merged.record.tests) == 12


def test_runs_of_another_commit_or_split_are_left_out_and_named_with_what_differs() -> None:
    stranger = replace(of_other_commit(shard_run(2)), where="stranger")
    merged = merge([stranger, shard_run(1), shard_run(3), shard_run(2), shard_run(1, 4, where="four")], None)
    assert merged.code == ExitCode.USAGE
    commit, split = words(merged.unusable)
    assert commit.startswith(f"stranger: the run of {STAGE_B_SMALL} 2/3 is of another plan and was left out")
    assert "commit is bbbbbbbbbbbb, in the others aaaaaaaaaaaa" in commit
    assert "the number of shards is 4, in the others 3" in split
    assert len(merged.record.tests) == 12
    assert exit_code(merged.record) == ExitCode.INFRASTRUCTURE


def test_a_failure_in_one_shard_is_the_merged_records_and_an_empty_one_is_not() -> None:
    test = "test/registered/x/test_11.py"
    failed = shard_run(1, attempts={test: [ended("failed", "product", evidence=("boom",))]})
    merged = merge([failed, shard_run(2), shard_run(3)], None)
    assert exit_code(merged.record) == ExitCode.TESTS_FAILED
    assert [each.id for each in merged.record.having(Status.FAILED)] == [test]
    assert merged.code == 0, "the report is whole"


def test_what_could_not_be_read_is_named_with_everything_else() -> None:
    bad = Unusable(problem=Problem(where="x.zip", what="is damaged"), code=ExitCode.USAGE)
    merged = merge([shard_run(1)], None, [bad])
    assert [text.partition(":")[0] for text in words(merged.unusable)] == ["x.zip", STAGE_B_SMALL]
    assert "x.zip: is damaged" in merged.record.failures[0].problems


def test_the_balance_counts_every_attempt_and_says_what_longest_first_would_have_needed() -> None:
    (times,) = suite_times(merge([shard_run(1), shard_run(2), shard_run(3)], None).record.parts)
    assert sum(shard.took_s for shard in times.shards) == sum(range(12))
    assert sum(shard.tests for shard in times.shards) == 12
    # 66 s in three shards of whole seconds: no split is shorter
    assert times.best_s == 22
    assert times.saved_s == times.longest_s - 22
    assert times.spread_s == times.longest_s - min(shard.took_s for shard in times.shards)


def test_a_test_that_takes_as_long_as_a_shard_is_named() -> None:
    slow = "test/registered/x/test_3.py"
    runs = [shard_run(n, attempts={slow: [ended("passed", "passed", duration_s=100)]}) for n in (1, 2, 3)]
    (times,) = suite_times(merge(runs, None).record.parts)
    assert (times.blocker, times.best_s) == (slow, 100)


def test_shards_that_are_missing_are_left_out_of_the_split() -> None:
    (times,) = suite_times(merge([shard_run(1), shard_run(3)], None).record.parts)
    assert [str(shard) for shard in times.missing] == ["2/3"]
    ran = sum(shard.took_s for shard in times.shards)
    assert times.best_s >= ran / 2


def test_a_suite_that_ran_whole_has_no_balance() -> None:
    assert suite_times(merge([shard_run(1, 1)], None).record.parts) == ()
