"""The agent's parts that need no second process: spec, messages, logs, the live view."""

import ast
import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.__main__ import LogFile, RecentLines, SpecError, log_name, parse_message, parse_spec
from support.agent_process import AGENT, a_suite, a_test, catalog_limits, catalog_rules

pytestmark = pytest.mark.in_container

SPEC: dict[str, Any] = {
    "schema": 1,
    "run": "run",
    "token": "0123",
    "root": "/tree",
    "run_dir": "/run",
    "pythonpath": ["/ours/test"],
    "jobs": 1,
    "gpu_ids": [],
    "fail_fast": False,
    "pytest_args": [],
    "limits": catalog_limits(),
    "verdict_rules": catalog_rules(),
    "suites": [a_suite([a_test("test_a.py"), a_test("test_b.py")])],
    "harness": {"anything": [1, None]},
}


def spec_with(path: str, value: object) -> str:
    """The spec with one value replaced; a path such as `suites.0.tests.1.path`."""
    spec = copy.deepcopy(SPEC)
    *way, last = path.split(".")
    place: Any = spec
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(spec)


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    return "\n".join(caught.value.problems)


def test_it_needs_python_3_10_and_the_standard_library_alone() -> None:
    tree = ast.parse(AGENT.read_text(), feature_version=(3, 10))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"pytest"}
    assert not imported & {"tomllib"}


class TestSpec:
    def test_what_the_executor_writes_is_read(self) -> None:
        spec = parse_spec(json.dumps(SPEC))
        assert spec.root == Path("/tree")
        assert [test.id for test in spec.suites[0].tests] == ["test_a.py", "test_b.py"]
        assert spec.limits.log_head_bytes == 16777216
        assert spec.verdict_rules[0].pattern.search("HW Exception by GPU node-1")

    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            ("schema", 2, "schema is 2; this agent reads schema 1"),
            ("root", "tree", "root is 'tree', not an absolute path"),
            ("jobs", 0, "jobs is 0"),
            ("jobs", True, "jobs is 'True', not a whole number"),
            ("fail_fast", "yes", "fail_fast is 'yes', not bool"),
            ("limits.settle_s", float("nan"), "limits.settle_s is 'nan', not a number of at least 0"),
            ("limits.log_head_bytes", 1.5, "limits.log_head_bytes is '1.5', not a whole number"),
            ("limits", [], "limits is '[]', not Limits"),
            ("verdict_rules.0.pattern", "(", "verdict_rules[0].pattern is not a regular expression"),
            ("verdict_rules.0.verdict", "passed", "verdict 'passed' is not one of"),
            ("suites.0.attempts", 0, "suite suite: attempts is 0"),
            ("suites.0.timeout_s", -1, "suites[0].timeout_s is '-1', not a number of at least 0"),
            ("suites.0.env", {"A": 1}, "suites[0].env.A is '1', not str"),
            ("suites.0.tests.1.id", "test_a.py", "suite suite: 2 tests are called 'test_a.py'"),
            ("suites.0.tests.1.kind", "go", "kind 'go' is neither pytest nor script"),
            ("suites.0.tests.1.path", "/etc/passwd", "'/etc/passwd' is not a path inside the root"),
            ("suites.0.tests.1.path", "a/../../b", "'a/../../b' is not a path inside the root"),
            ("suites.0.tests.1", "test", "suites[0].tests[1] is 'test', not Test"),
            ("suites", [SPEC["suites"][0]] * 2, "2 suites are called 'suite'"),
        ],
    )
    def test_a_wrong_value_is_named(self, path: str, value: object, says: str) -> None:
        assert says in problems(spec_with(path, value))

    @pytest.mark.parametrize("key", [key for key in SPEC if key not in ("run", "harness")])
    def test_a_missing_key_is_named(self, key: str) -> None:
        assert f"{key} is missing" in problems(json.dumps({name: SPEC[name] for name in SPEC if name != key}))

    def test_every_problem_is_named_at_once(self) -> None:
        wrong = {**SPEC, "token": 1, "root": "here", "gpu_ids": "0"}
        assert len(problems(json.dumps(wrong)).splitlines()) == 3

    def test_a_suite_that_needs_more_gpus_than_there_are_is_refused(self) -> None:
        wanting = {**SPEC, "gpu_ids": ["0"], "suites": [a_suite([], gpus=2)]}
        assert "needs 2 GPUs, gpu_ids holds 1" in problems(json.dumps(wanting))

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.text())
    def test_anything_else_is_refused_and_never_a_crash(self, value: object) -> None:
        assert problems(value if isinstance(value, str) else json.dumps(value))


class TestMessages:
    def test_a_case_has_every_key(self) -> None:
        kind, keys = parse_message(b'{"type": "case", "case": "a::b", "outcome": "passed", "more": 1}')
        assert kind == "case"
        assert keys == {
            "case": "a::b",
            "outcome": "passed",
            "duration_s": 0.0,
            "message": "",
            "details": "",
            "file": None,
            "line": None,
            "verdict": None,
            "assertion": False,
        }

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[1]",
            "null",
            '{"type": "weather"}',
            '{"type": ["case"]}',
            '{"type": "case", "case": 3, "outcome": "passed"}',
            '{"type": "case", "case": "a", "outcome": "fine"}',
            '{"type": "case", "case": "a", "outcome": ["passed"]}',
            '{"type": "case", "case": "a"}',
            '{"type": "metric", "metric": "a", "value": NaN}',
            '{"type": "metric", "metric": "a", "value": "1"}',
            '{"type": "metric", "metric": "a", "value": true}',
            '{"type": "session", "exit_code": "0"}',
            "[" * 5000,
        ],
    )
    def test_what_is_not_understood_is_a_note_with_the_raw_text(self, text: str) -> None:
        assert parse_message(text.encode()) == ("note", {"text": text})

    @given(st.binary(max_size=200))
    def test_no_bytes_can_break_it(self, data: bytes) -> None:
        kind, keys = parse_message(data)
        json.dumps({"type": kind, **keys}, allow_nan=False).encode()


class TestLog:
    @given(st.lists(st.binary(max_size=30)), st.integers(0, 40), st.integers(0, 40))
    def test_head_and_tail_are_kept_and_the_middle_is_counted(
        self, tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], head: int, tail: int
    ) -> None:
        path = tmp_path_factory.mktemp("log") / "logs" / "a.log"
        log = LogFile(path, head_bytes=head, tail_bytes=tail)
        for piece in pieces:
            log.write(piece)
        log.close()
        whole = b"".join(pieces)
        assert log.total_bytes == len(whole)
        assert log.kept_bytes == min(len(whole), head + tail)
        omitted = len(whole) - log.kept_bytes
        notice = f"\n[... {omitted} bytes of output left out here ...]\n".encode() if omitted else b""
        kept_tail = whole[head:][-tail:] if tail else b""
        assert path.read_bytes() == whole[:head] + notice + kept_tail
        assert log.text() == path.read_bytes().decode("utf-8", "replace")

    def test_a_flood_is_not_held_in_memory(self, tmp_path: Path) -> None:
        log = LogFile(tmp_path / "a.log", head_bytes=10, tail_bytes=100)
        for _ in range(1000):
            log.write(b"x" * 50)
        assert sum(map(len, log._tail)) <= 150
        log.close()

    def test_a_log_that_cant_be_opened_keeps_the_newest_output(self, tmp_path: Path) -> None:
        (tmp_path / "logs").write_text("a file")
        log = LogFile(tmp_path / "logs" / "a.log", head_bytes=10, tail_bytes=8)
        log.write(b"0123456789abcdef")
        log.close()
        assert log.error is not None
        assert "the log could not be written" in log.error
        assert (log.kept_bytes, log.total_bytes) == (0, 16)
        assert log.text().strip() == "89abcdef"

    def test_a_disk_that_fills_up_in_the_middle_is_noticed(self) -> None:
        log = LogFile(Path("/dev/full"), head_bytes=10, tail_bytes=100)
        log.write(b"0123456789abcdef")
        log.close()
        assert log.error is not None
        assert "No space left on device" in log.error
        assert log.text().strip() == "0123456789abcdef"


class TestLiveView:
    def test_complete_lines_once_and_the_rest_at_the_end(self) -> None:
        recent = RecentLines(lines=10, line_chars=100)
        recent.feed(b"one\ntw")
        assert recent.take() == ["one"]
        assert recent.take() == []
        recent.feed(b"o\nthree")
        assert recent.take() == ["two"]
        assert recent.take(all_of_it=True) == ["three"]
        assert recent.take(all_of_it=True) == []

    def test_of_a_flood_the_newest_lines_are_shown(self) -> None:
        recent = RecentLines(lines=3, line_chars=10)
        recent.feed(b"".join(f"{number}\n".encode() for number in range(1000)))
        assert recent.take() == ["997", "998", "999"]

    def test_a_progress_bar_is_lines_and_invalid_utf8_is_replaced(self) -> None:
        recent = RecentLines(lines=3, line_chars=10)
        recent.feed(b"10%\r20%\r\xff%\r\n")
        assert recent.take() == ["10%", "20%", "\ufffd%"]

    @given(st.lists(st.binary(max_size=50)))
    def test_no_event_is_larger_than_lines_by_width(self, pieces: list[bytes]) -> None:
        recent = RecentLines(lines=3, line_chars=10)
        for piece in pieces:
            recent.feed(piece)
            lines = recent.take()
            assert len(lines) <= 3
            assert all(0 < len(line) <= 10 for line in lines)


@given(st.lists(st.tuples(st.text(max_size=300), st.integers(1, 3)), max_size=8))
def test_log_names_are_safe_and_never_shared(attempts: list[tuple[str, int]]) -> None:
    taken: set[str] = set()
    for test, attempt in attempts:
        name = log_name(test, attempt, taken)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.log", name) or name.startswith("-")
        assert len(name) < 200
        assert name not in taken
        taken.add(name)


def test_a_log_is_called_after_its_test() -> None:
    assert log_name("test/registered/amd/test_a.py", 1, ()) == "test_registered_amd_test_a.py.log"
    assert log_name("test/registered/amd/test_a.py", 2, ()) == "test_registered_amd_test_a.py.attempt-2.log"
    assert log_name("a/b", 1, {"a_b.log"}) == "a_b-2.log"
