"""Editing rows of a TOML file in place."""

import pytest

from ci.catalog.edit_rows import add_row, edit_row

TEXT = """# the head
[[suite]]
name = "one"
shards = 3 # three of them
files = [
    "a.py", # [[suite]] in a comment
    "b.py",
]
why = "because"

# about the second
[[suite]]
name = "two"
shards = 1
why = "for # a reason"

[[retry]]
verdict = "infra"
"""


def test_a_value_changes_and_its_comment_stays() -> None:
    made = edit_row(TEXT, "suite", "name", "one", {"shards": 4})
    assert made == TEXT.replace("shards = 3 # three", "shards = 4  # three")


def test_a_list_of_several_lines_is_replaced_and_a_new_value_stands_before_why() -> None:
    made = edit_row(TEXT, "suite", "name", "one", {"files": ["c.py"], "rocm": "720"})
    assert 'files = ["c.py"]\nrocm = "720"\nwhy = "because"\n\n# about the second' in made


def test_a_long_list_has_a_line_for_each_item() -> None:
    files = [f"test/registered/amd/test_a_long_name_{number}.py" for number in (1, 2)]
    made = edit_row(TEXT, "suite", "name", "two", {"files": files})
    assert f'files = [\n    "{files[0]}",\n    "{files[1]}",\n]\nwhy = "for # a reason"' in made


def test_a_value_can_be_removed() -> None:
    assert edit_row(TEXT, "suite", "name", "two", {"shards": None}) == TEXT.replace("shards = 1\n", "")


def test_a_new_row_stands_behind_the_last_one() -> None:
    made = add_row(TEXT, "suite", {"name": "three", "nightly": True}, after=1)
    assert made == TEXT.replace("\n[[retry]]", '\n[[suite]]\nname = "three"\nnightly = true\n\n[[retry]]')


def test_an_unknown_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no row of suite with name = 'four'"):
        edit_row(TEXT, "suite", "name", "four", {"shards": 1})
