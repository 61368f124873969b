"""The record: what is written is read again, damage is named, and the exit code follows from the verdicts."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.catalog.verdicts import Status, Verdict
from ci.errors import InfrastructureError, UsageError
from ci.record.fold import (
    Attempt,
    Leftover,
    RecordWriter,
    encode_event,
    exit_code,
    fold,
    read_events,
)
from support.full_disk import files_of_at_most
from support.records import (
    DATA,
    SUITE,
    attempt_events,
    attempt_lists,
    ended,
    events_of,
    odd_text,
    record_of,
    run_events,
    run_started,
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=8,
)


def write(path: Path, *events: dict[str, Any]) -> None:
    with RecordWriter(path) as record:
        for event in events:
            record.append(event, by="agent")


class TestWritingAndReading:
    @given(st.lists(odd_text, max_size=5))
    def test_any_text_comes_back_as_it_was(
        self, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("run") / "events.jsonl"
        write(path, *({"type": "note", "text": text} for text in texts))
        assert [event["text"] for event in read_events(path)] == texts

    def test_by_is_all_that_is_added(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with RecordWriter(path) as record:
            record.append({"type": "note", "text": "x", "seq": 4}, by="ci")
        assert read_events(path) == [{"type": "note", "text": "x", "seq": 4, "by": "ci"}]

    @given(json_values)
    def test_a_line_is_strict_json_in_ascii(self, value: Any) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        line = encode_event({"type": "note", "value": value})
        assert line.count(b"\n") == 1
        json.loads(line.decode("ascii"), parse_constant=refuse)

    def test_every_event_is_readable_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with RecordWriter(path) as record:
            record.append({"type": "note", "text": "x"}, by="ci")
            assert len(read_events(path)) == 1

    def test_an_unfinished_last_line_is_named_and_the_rest_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"type":"note","text":"whole"}\n{"type":"test-en')
        whole, damage = read_events(path)
        assert whole["text"] == "whole"
        assert damage["type"] == "record-damaged"
        assert "the last line is unfinished" in damage["text"]
        assert '{"type":"test-en' in damage["text"]

    def test_a_line_that_is_no_event_is_named_with_its_number(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"type":"note"}\n[1]\n\xff\n{"type":"note"}\n')
        events = read_events(path)
        assert [event["type"] for event in events] == ["note", "record-damaged", "record-damaged", "note"]
        assert "line 2" in events[1]["text"]
        assert "line 3" in events[2]["text"]

    def test_a_later_writer_does_not_lose_its_first_event_to_an_unfinished_line(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"type":"no')
        write(path, {"type": "note", "text": "mine"})
        damage, mine = read_events(path)
        assert damage["type"] == "record-damaged"
        assert mine["text"] == "mine"

    def test_a_missing_record_is_a_usage_error_with_the_next_command(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file") as caught:
            read_events(tmp_path / "events.jsonl")
        assert str(tmp_path) in caught.value.then


class TestDiskThatIsFull:
    def test_what_was_recorded_stays_whole_and_more_can_follow(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with RecordWriter(path) as record:
            record.append({"type": "note", "text": "first"}, by="ci")
            before = path.read_bytes()
            with files_of_at_most(len(before) + 20), pytest.raises(InfrastructureError) as caught:
                record.append({"type": "note", "text": "x" * 100}, by="ci")
            assert path.read_bytes() == before
            record.append({"type": "note", "text": "after"}, by="ci")
        assert [event["text"] for event in read_events(path)] == ["first", "after"]
        assert "MiB free" in caught.value.what
        assert str(tmp_path) in caught.value.what
        assert caught.value.then.startswith(f"df -h {tmp_path}")

    def test_no_space_is_said_in_words(self) -> None:
        with RecordWriter(Path("/dev/full")) as record, pytest.raises(InfrastructureError) as caught:
            record.append({"type": "note"}, by="ci")
        assert caught.value.cause == "the disk is full"
        assert caught.value.exit_code == 4

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InfrastructureError, match="No such file"):
            RecordWriter(tmp_path / "nowhere" / "events.jsonl")


class TestFold:
    @settings(max_examples=50)
    @given(st.dictionaries(st.sampled_from(["a.py", "b.py", "c.py"]), attempt_lists(), min_size=1))
    def test_every_attempt_comes_back(self, tests: dict[str, tuple[Attempt, ...]]) -> None:
        record = fold(run_events(tests))
        found = {test.id: test.attempts for test in record.tests}
        assert found == tests
        assert record.problems == ()
        for test in record.tests:
            assert test.last is not None
            assert test.status is not Status.NOT_RUN

    @settings(max_examples=50)
    @given(
        st.lists(
            st.dictionaries(st.sampled_from(["type", "test", "attempt", "seq", "tests", "x"]), json_values)
        )
    )
    def test_no_event_is_too_odd(self, events: list[dict[str, Any]]) -> None:
        record = fold(events)
        assert exit_code(record) != 0

    @given(st.lists(st.integers(0, 60), max_size=6))
    def test_a_record_that_lost_events_still_folds_and_is_no_pass(self, lost: list[int]) -> None:
        events = [event for number, event in enumerate(events_of("stage-b")) if number not in lost]
        record = fold(events)
        assert exit_code(record) != 0

    @pytest.mark.parametrize(
        ("outcomes", "status", "verdict"),
        [
            (["passed"], Status.PASSED, "passed"),
            (["failed"], Status.FAILED, "product"),
            (["failed", "passed"], Status.FLAKY, "passed"),
            (["failed", "failed", "passed"], Status.FLAKY, "passed"),
            (["skipped"], Status.SKIPPED, "passed"),
            # a skip after a failure proves nothing
            (["failed", "skipped"], Status.FAILED, "product"),
        ],
    )
    def test_status(self, outcomes: list[str], status: Status, verdict: str) -> None:
        attempts = [
            ended(outcome, "product" if outcome == "failed" else "passed", number)
            for number, outcome in enumerate(outcomes, start=1)
        ]
        (test,) = fold(run_events({"a.py": attempts})).tests
        assert (test.status, test.verdict) == (status, verdict)

    def test_the_last_attempts_verdict_is_the_tests(self) -> None:
        attempts = [ended("failed", "infra", 1), ended("failed", "product", 2)]
        (test,) = fold(run_events({"a.py": attempts})).tests
        assert test.verdict == "product"

    def test_a_failed_test_never_has_the_verdict_passed(self) -> None:
        (test,) = fold(run_events({"a.py": [ended("failed", "passed")]})).tests
        assert test.verdict == "unknown"

    def test_tests_are_in_the_plans_order_whatever_ran_first(self) -> None:
        events = run_events({"b.py": [ended("passed", "passed")], "a.py": [ended("passed", "passed")]})
        events[0] = run_started(["a.py", "c.py", "b.py"])
        assert [test.id for test in fold(events).tests] == ["a.py", "c.py", "b.py"]

    def test_one_file_in_two_suites_is_two_tests(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]})
        events[0]["tests"] = [{"suite": suite, "test": "a.py", "est_s": 1} for suite in (SUITE, "other")]
        first, second = fold(events).tests
        assert (first.status, second.status) == (Status.PASSED, Status.NOT_RUN)

    def test_missing_sequence_numbers_are_named(self) -> None:
        events = [{"type": "note", "text": "x", "by": "agent", "seq": seq} for seq in (1, 2, 5)]
        assert "events 3 to 4 of the agent are missing" in fold(events).problems

    def test_a_metric_without_a_number_is_named(self) -> None:
        events = run_events({"a.py": []})
        events.insert(2, {"type": "metric", "suite": SUITE, "test": "a.py", "metric": "m", "value": "NaN"})
        assert any("metric m has no finite number: 'NaN'" in problem for problem in fold(events).problems)

    def test_a_cancelled_agent_that_announced_a_retry_leaves_the_failure(self) -> None:
        attempt = ended("failed", "infra", of=2, retry_wait_s=30.0, retry_because="infra")
        (test,) = fold(run_events({"a.py": [attempt]}, reason="cancelled")).tests
        assert (test.status, test.verdict) == (Status.FAILED, "infra")

    def test_the_stored_run(self) -> None:
        record = record_of("stage-b")
        assert record.title == "stage-b-amd"
        assert (record.hardware_class, record.host) == ("mi300x", "mi300x-node-07")
        by_name = {test.id.rpartition("/")[2]: test for test in record.tests}
        assert by_name["test_vision_openai_server.py"].status is Status.FLAKY
        assert by_name["test_mla_fp8.py"].verdict == "timeout-while-passing"
        hung = by_name["test_mla_fp8.py"].attempts[0]
        assert hung.leftovers[0] == Leftover(pid=5121, command="sglang::scheduler")
        broken = by_name["test_gsm8k_llama.py"].attempts[0].metrics[0]
        assert broken.bound is not None
        assert (broken.value, broken.bound.limit, broken.bound.ok) == (0.745, 0.78, False)
        assert record.duration_s == pytest.approx(51 * 60, abs=60)
        # attempts follow one another on the run's own time line
        starts = [attempt.started_s for test in record.tests for attempt in test.attempts]
        assert starts == sorted(starts)

    def test_the_run_whose_agent_was_lost(self) -> None:
        lost, never = record_of("lost-agent").tests
        assert (lost.status, lost.verdict) == (Status.FAILED, "infra")
        assert lost.attempts[0].outcome == "unfinished"
        assert [case.outcome for case in lost.attempts[0].cases] == ["passed"]
        assert lost.attempts[0].duration_s == pytest.approx(210.4)
        assert (never.status, never.verdict) == (Status.NOT_RUN, "infra")
        assert record_of("lost-agent").failures[0].cause.startswith("it was killed by signal 9")


def documented_exits() -> dict[str, int]:
    """The table of verdicts in docs/agent.md."""
    page = (DATA.parents[1] / "docs/agent.md").read_text()
    table = page[page.index("## Verdicts") : page.index("## How an attempt ends")]
    return {
        verdict: int(code)
        for verdict, code in re.findall(r"^\| `([a-z-]+)` \|.*\| (\d+) \|$", table, re.MULTILINE)
    }


class TestExitCode:
    def test_the_table_is_the_documents(self) -> None:
        assert {verdict.value: int(verdict.row.exit_code) for verdict in Verdict} == documented_exits()

    @pytest.mark.parametrize(("verdict", "code"), documented_exits().items())
    def test_by_verdict(self, verdict: str, code: int) -> None:
        outcome = "passed" if verdict == "passed" else "failed"
        assert exit_code(fold(run_events({"a.py": [ended(outcome, verdict)]}))) == code

    def test_a_verdict_that_nobody_knows_is_a_failure(self) -> None:
        assert exit_code(fold(run_events({"a.py": [ended("failed", "gremlins")]}))) == 1

    @pytest.mark.parametrize(
        ("verdicts", "code"),
        [
            (["infra", "product", "timeout"], 1),
            (["infra", "bounds", "timeout"], 8),
            (["infra", "timeout"], 5),
            (["product", "cancelled"], 130),
        ],
    )
    def test_the_worst_of_several_decides(self, verdicts: list[str], code: int) -> None:
        tests = {f"{number}.py": [ended("failed", verdict)] for number, verdict in enumerate(verdicts)}
        assert exit_code(fold(run_events(tests))) == code

    def test_flaky_and_skipped_beside_a_pass_are_zero(self) -> None:
        tests = {
            "a.py": [ended("failed", "infra"), ended("passed", "passed", 2)],
            "b.py": [ended("skipped", "passed")],
        }
        assert exit_code(fold(run_events(tests))) == 0

    def test_all_skipped_is_three(self) -> None:
        tests = {name: [ended("skipped", "passed")] for name in ("a.py", "b.py")}
        assert exit_code(fold(run_events(tests))) == 3

    def test_an_empty_shard_is_zero_and_nothing_selected_is_three(self) -> None:
        shard = {"suite": SUITE, "shard": "3/3"}
        assert exit_code(fold([run_started([], empty_shards=[shard])])) == 0
        assert exit_code(fold([run_started([])])) == 3

    def test_no_agent_ended_is_infrastructure_even_when_all_passed(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]}, reason=None)
        assert exit_code(fold(events)) == 4
        assert exit_code(fold([*events, {"type": "run-ended", "exit_code": 130}])) == 130

    def test_a_selected_test_of_which_nothing_is_known_is_infrastructure(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")], "b.py": []})
        assert exit_code(fold(events)) == 4

    def test_a_test_that_started_and_never_ended(self) -> None:
        events = run_events({"a.py": [ended("passed", "passed")]})
        events = [event for event in events if event["type"] != "test-ended"]
        assert exit_code(fold(events)) == 4
        cancelled = [*events[:-1], {"type": "agent-ended", "reason": "cancelled"}]
        assert exit_code(fold(cancelled)) == 130

    def test_fail_fast_ends_with_the_failures_own_code(self) -> None:
        not_run = {
            "type": "test-not-run",
            "suite": SUITE,
            "test": "b.py",
            "verdict": "cancelled",
            "because": "x",
        }
        events = run_events({"a.py": [ended("failed", "bounds")], "b.py": []}, reason="fail-fast")
        assert exit_code(fold([*events[:-1], not_run, events[-1]])) == 8

    def test_a_test_that_found_no_time_is_a_timeout(self) -> None:
        not_run = {
            "type": "test-not-run",
            "suite": SUITE,
            "test": "b.py",
            "verdict": "timeout",
            "because": "x",
        }
        events = run_events({"a.py": [ended("passed", "passed")], "b.py": []})
        assert exit_code(fold([*events[:-1], not_run, events[-1]])) == 5

    def test_what_broke_outside_the_tests_counts(self) -> None:
        broke = {"type": "executor-failed", "what": "no image", "cause": "", "then": "", "verdict": "infra"}
        assert exit_code(fold([run_started(["a.py"]), broke])) == 4

    def test_an_empty_record_is_no_pass(self) -> None:
        assert exit_code(fold([])) == 4

    @settings(max_examples=50)
    @given(attempt_lists())
    def test_what_run_ended_says_changes_nothing_when_it_is_the_same(
        self, attempts: tuple[Attempt, ...]
    ) -> None:
        events = run_events({"a.py": attempts})
        code = exit_code(fold(events))
        assert exit_code(fold([*events, {"type": "run-ended", "exit_code": code}])) == code

    @pytest.mark.parametrize(
        ("name", "code"), [("stage-b", 1), ("rehearsal", 1), ("lost-agent", 4), ("cancelled", 130)]
    )
    def test_the_stored_runs(self, name: str, code: int) -> None:
        assert exit_code(record_of(name)) == code


def test_an_attempt_of_a_second_agent_continues_the_time_line() -> None:
    later = "2026-05-29T07:22:03.000Z"
    attempt = replace(ended("passed", "passed"), duration_s=5.0)
    events: list[dict[str, Any]] = [
        run_started(["a.py"]),
        {"type": "agent-started", "by": "agent", "seq": 1, "elapsed_s": 0, "time": later},
        *({**event, "elapsed_s": 1.5} for event in attempt_events("a.py", attempt)),
    ]
    (test,) = fold(events).tests
    assert test.attempts[0].started_s == pytest.approx(601.5)
