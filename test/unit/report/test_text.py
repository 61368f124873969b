"""What cannot be seen is spelled out, what can is left alone, and a log's tail is its end."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.report.log_tail import LogTails, read_tail
from ci.report.text import clip, duration, one_line, quantity, strip_ansi, visible
from support.records import odd_text


class TestVisible:
    @given(odd_text)
    def test_xml_takes_it_and_gives_it_back(self, text: str) -> None:
        element = ET.Element("x")
        element.text = visible(text)
        assert (ET.fromstring(ET.tostring(element)).text or "") == visible(text)

    @given(odd_text)
    def test_utf8_takes_it(self, text: str) -> None:
        visible(text).encode()

    @given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=50))
    def test_readable_text_stays_as_it_is(self, text: str) -> None:
        assert visible(text) == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\x00b", r"a\x00b"),
            ("\x1b[31m", r"\x1b[31m"),
            ("\u202etxt.exe", r"\u202etxt.exe"),
            ("\ud800", r"\ud800"),
            ("a\r\nb\tc", "a\\x0d\nb\tc"),
            ("\U0001f600", "\U0001f600"),
        ],
    )
    def test_spelling(self, text: str, shown: str) -> None:
        assert visible(text) == shown

    @given(odd_text)
    def test_one_line_is_one_line(self, text: str) -> None:
        assert len(one_line(text).splitlines()) <= 1


def test_colours_titles_and_cursor_movements_go_and_text_stays() -> None:
    text = (
        "\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b[2K\x1b(plain [0m\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"
    )
    assert strip_ansi(text).replace("\x1b(", "") == "red plain [0mlink"


def test_clip_says_how_much_follows() -> None:
    assert clip("a\nb\nc\nd", 2) == "a\nb\n... 2 more lines"
    assert clip("a\nb", 2) == "a\nb"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (187, "3 min 07 s"),
        (3599.7, "1 h"),
        (7500, "2 h 05 min"),
        (-3, "-3.0 s"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(0, 1e6))
def test_a_duration_never_shows_sixty(seconds: float) -> None:
    assert not re.search(r"\b60 (s|min)\b", duration(seconds))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.745, "", "0.745"),
        (2114.6, "token/s", "2114.6 token/s"),
        (48.0, "token", "48 token"),
        (1e-9, "", "1e-09"),
    ],
)
def test_quantity(value: float, unit: str, words: str) -> None:
    assert quantity(value, unit) == words


class TestTail:
    def test_the_last_lines_and_a_word_that_there_are_more(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_text("".join(f"line {number}\n" for number in range(100)))
        tail = read_tail(log, lines=3, size_bytes=1000)
        assert tail.lines == ("line 97", "line 98", "line 99")
        assert tail.note == "the log has more above"

    def test_a_line_that_is_cut_by_the_size_is_left_out(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_text("a" * 50 + "\nwhole\n")
        assert read_tail(log, lines=10, size_bytes=20).lines == ("whole",)

    def test_bytes_that_are_no_text_are_replaced(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_bytes(b"good\n\xff\xfe bad\n")
        assert read_tail(log, lines=10, size_bytes=100).lines == ("good", "\ufffd\ufffd bad")

    def test_of_a_progress_bar_the_last_state_is_kept(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_bytes(b"10%\r50%\r100%\r\ndone\r\n")
        assert read_tail(log, lines=10, size_bytes=100).lines == ("100%", "done")

    def test_colours_are_gone(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_bytes(b"\x1b[31mred\x1b[0m\n")
        assert read_tail(log, lines=10, size_bytes=100).text == "red"

    @pytest.mark.parametrize(
        ("log", "note"),
        [
            ("logs/none.log", "cannot read the log: No such file or directory"),
            ("", "the record names no log"),
            ("../secret", "the record names a log outside the run folder"),
            ("logs/empty.log", "the log is empty"),
        ],
    )
    def test_why_there_is_none(self, tmp_path: Path, log: str, note: str) -> None:
        run_dir = tmp_path / "run"
        (run_dir / "logs").mkdir(parents=True)
        (run_dir / "logs/empty.log").touch()
        (tmp_path / "secret").write_text("not yours")
        tail = LogTails(run_dir, lines=10).named(log)
        assert (tail.lines, tail.note) == ((), note)
