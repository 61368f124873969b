"""The log of an attempt and its newest lines."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.logs import LogFile, RecentLines, log_name, new_log

pytestmark = pytest.mark.in_container


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


def test_two_agents_with_one_folder_never_write_into_one_log(tmp_path: Path) -> None:
    names = [new_log(tmp_path / "logs", "a/b.py", 1, set()) for _ in range(3)]
    assert names == ["a_b.py.log", "a_b.py-2.log", "a_b.py-3.log"]
