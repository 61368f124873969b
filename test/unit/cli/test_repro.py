"""The options of `./inv repro`."""

import pytest

from ci.cli.repro import repro
from ci.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--repeat", "0", "--run"], "not a number from 1"),
        (["x", "--repeat", "3"], "add --run"),
        (["x", "--bisect", "a", "--run"], "not GOOD..BAD"),
        (["x", "--reapet", "3"], "did you mean '--repeat'"),
        ([], "SOURCE: is missing"),
        (["no-such-thing"], "not a file, a folder, a link"),
        (["test_nowhere.py"], "is not registered"),
    ],
)
def test_what_is_invalid(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        repro(arguments)
    assert words in caught.value.render()
