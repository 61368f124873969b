"""Server arguments read from the source, in the forms that versions have."""

from pathlib import Path

import pytest

from ci.errors import FindingsError
from ci.facts.sglang.options import read_lists, read_options
from ci.facts.sglang.parser import read_parser
from ci.facts.sglang.source import Package
from ci.facts.sglang.tree import SglangTree
from ci.plan.contract.sglang import Option

DATA = Path(__file__).parents[3] / "data/sglang_versions"


def options(version: str) -> dict[str, Option]:
    return {name: option for option in read_options(Package(DATA / version)) for name in option.names}


def test_calls() -> None:
    found = options("calls")
    assert found["--model"].names == ("--model-path", "--model")
    assert (found["--tp-size"].type, found["--share"].type) == ("int", "float")
    assert found["--attention-backend"].choices == ("triton", "aiter")
    assert found["--tool-parser"].choices == ("auto", "alpha", "beta")
    assert (found["--fast"].type, found["--fast"].nargs) == ("flag", 0)
    assert found["--lora"].nargs == "*"
    assert found["--share"].place == "sglang/srt/server_args.py:20"


def test_choices_that_are_computed_are_not_guessed() -> None:
    mode = options("calls")["--mode"]
    assert mode.choices is None
    assert mode.choices_unread


def test_annotated_fields() -> None:
    found = options("annotated")
    assert found["--tp-size"].names == ("--tensor-parallel-size", "--tp-size")
    assert found["--new-prefill-backend"].choices == ("triton", "aiter", "new")
    assert found["--attention-backend"].choices == ("triton", "aiter", "new", "more")
    assert (found["--lora"].nargs, found["--weights"].nargs, found["--weights"].type) == ("+", None, "other")
    assert found["--level"].choices == ("low", "high")
    assert (found["--fast"].type, found["--share"].type) == ("flag", "float")
    assert not {"--hidden", "--plain"} & set(found)


def test_a_deprecated_argument_names_the_one_that_takes_its_place() -> None:
    old = options("annotated")["--old-prefill-backend"]
    assert old.deprecated
    assert old.instead == "use --new-prefill-backend"
    assert old.nargs is None


def test_fields_in_groups() -> None:
    found = options("groups")
    assert set(found) == {"--new-prefill-backend", "--attention-backend", "--share", "--fast"}
    assert found["--attention-backend"].choices == ("triton", "new")
    assert (found["--fast"].nargs, found["--fast"].deprecated) == (0, True)


@pytest.mark.parametrize(
    ("version", "backends"),
    [("calls", ("triton",)), ("annotated", ("triton", "aiter")), ("groups", ("triton",))],
)
def test_lists_of_allowed_values(version: str, backends: tuple[str, ...]) -> None:
    assert read_lists(Package(DATA / version))["DETERMINISTIC_BACKENDS"] == backends


@pytest.mark.parametrize("content", [None, "class ServerArgs:\n    pass\n", "class ServerArgs(:\n"])
def test_a_tree_whose_arguments_cannot_be_read_is_a_finding_about_it(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "sglang/srt").mkdir(parents=True)
        (tmp_path / "sglang/srt/server_args.py").write_text(content)
    tree = SglangTree(
        title="a tree", folder=tmp_path, base=tmp_path, roots=(tmp_path,), version="", version_source=""
    )
    with pytest.raises(FindingsError) as caught:
        read_parser(tree, Package(tmp_path))
    assert caught.value.exit_code == 10
