"""Long texts opened at their error."""

from hypothesis import given
from hypothesis import strategies as st

from ci.report.page.excerpt import Excerpt, excerpt, tail_excerpt
from support.records import odd_text

LONG = "\n".join(
    [
        *(f"    line {number}" for number in range(100)),
        "E   KeyError: 'first'",
        *(f"    between {number}" for number in range(20)),
        ">   raise ValueError(1)",
        "E   ValueError: 1",
        "E   of the second",
        *(f"    after {number}" for number in range(100)),
    ]
)


def shown(found: Excerpt) -> list[str]:
    return "\n".join(segment.text for segment in found.shown).split("\n")


def test_the_error_that_was_raised_last_stands_near_the_top() -> None:
    found = excerpt(LONG, room=100_000)
    lines = shown(found)
    assert lines.index("E   ValueError: 1") == 8
    assert [segment.text.split("\n") for segment in found.shown if segment.error] == [
        [">   raise ValueError(1)", "E   ValueError: 1", "E   of the second"]
    ]
    assert found.lines_above == 114
    assert found.lines_above + len(lines) + found.lines_below == LONG.count("\n") + 1
    assert found.cut == 0


def test_with_little_room_the_error_is_what_is_left() -> None:
    found = excerpt(LONG, room=60)
    assert shown(found)[0] == "E   ValueError: 1"
    assert found.above == ""
    assert found.cut > 200


def test_a_short_text_is_whole_and_a_long_one_without_an_error_has_its_end() -> None:
    assert shown(excerpt("a\nb", room=1000)) == ["a", "b"]
    found = excerpt("\n".join(map(str, range(100))), room=100_000)
    assert shown(found)[-1] == "99"
    assert found.lines_above == 68


@given(text=odd_text, room=st.integers(0, 500))
def test_any_text_in_any_room_loses_only_what_it_says(text: str, room: int) -> None:
    found = excerpt(text, room=room)
    kept = len(shown(found)) + found.lines_above + found.lines_below
    assert kept >= 1
    assert all("\x00" not in segment.text for segment in found.shown)


def test_the_end_of_a_log_marks_the_lines_of_the_evidence() -> None:
    found = tail_excerpt(
        ["loading", "RuntimeError: no such rank: 7", "done"],
        about=["RuntimeError: no such rank: 7"],
        room=1000,
    )
    assert [segment.text for segment in found.shown if segment.error] == ["RuntimeError: no such rank: 7"]
    assert tail_excerpt((), about=(), room=0) == Excerpt()
