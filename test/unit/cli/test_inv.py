"""`./inv`: how verbs are made of functions, and what a user's mistake gets as an answer."""

from dataclasses import dataclass, field

import pytest

from ci.cli.inv import SEVERAL, Inv, Verbs, arguments_of
from ci.errors import GuardError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    source: str = field(default="", metadata={"help": "where it is"})
    keep: int = field(default=20, metadata={"help": "how many stay"})
    dry_run: bool = field(default=False, metadata={"help": "only print"})
    checkout: str = field(default="", metadata={"help": "a tree"})


class Program:
    """Verbs that note how they were called."""

    def __init__(self) -> None:
        self.called: list[Options | str] = []
        verbs = Verbs()

        @verbs.add("look")
        def look() -> None:
            """Look at this machine."""
            self.called.append("look")

        @verbs.add("find", required="source")
        def find(options: Options) -> None:
            """Find something."""
            self.called.append(options)

        @verbs.add("explain", required="source", several=True)
        def explain(options: Options) -> None:
            """Explain some things."""
            self.called.append(options)

        @verbs.add("runs.prune", only=("keep", "dry_run"))
        def prune(options: Options) -> None:
            """Remove old runs."""
            self.called.append(options)

        @verbs.add("runs.fail")
        def fail() -> None:
            """Fail."""
            raise GuardError("triton was changed", then="use a new container")

        @verbs.add("runs.wait")
        def wait() -> None:
            """Wait for Ctrl-C."""
            raise KeyboardInterrupt

        self.verbs = verbs

    def code(self, *arguments: str) -> int:
        """The exit code of a call."""
        try:
            Inv(self.verbs).run(["inv", *arguments])
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0


@pytest.fixture
def program() -> Program:
    return Program()


def test_a_verb_may_take_several_values_among_its_options(program: Program) -> None:
    assert program.code("explain", "a", "--checkout", "tree", "b", "-", "--dry-run") == 0
    assert program.called == [Options(source=SEVERAL.join(("a", "b", "-")), checkout="tree", dry_run=True)]
    assert program.code("explain") == 2


def test_a_verb_gets_its_options_as_one_value(program: Program) -> None:
    assert program.code("runs.prune", "--keep", "3", "--dry-run") == 0
    assert program.code("find", "there", "--checkout=tree") == 0
    assert program.code("look") == 0
    assert program.called == [
        Options(keep=3, dry_run=True),
        Options(source="there", checkout="tree"),
        "look",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lok",), ("unknown verb 'lok'", "'look'", "./inv --list")),
        (("prune",), ("unknown verb 'prune'", "'runs.prune'")),
        (("--help", "run.prune"), ("unknown verb 'run.prune'", "'runs.prune'")),
        (("runs.prune", "--kepp", "3"), ("unknown option --kepp", "'--keep'", "./inv --help runs.prune")),
        (("runs.prune", "--keep", "viele"), ("--keep: 'viele' is not a whole number", "default: 20")),
        (("runs.prune", "--keep"), ("option --keep of runs.prune needs a value",)),
        (("runs.prune", "--checkout=x"), ("unknown option --checkout of runs.prune",)),
        (("look", "--json"), ("unknown option --json of look", "look has no options")),
        (("look", "there"), ("unexpected argument 'there' after look",)),
        (("find", "--chekout=x"), ("unknown option --chekout of find", "'--checkout'")),
        (("find",), ("find needs SOURCE", "./inv --help find")),
        # Invoke's own `--dry` before a verb would let the verb change everything
        (("--dry", "runs.prune"), ("unknown option --dry", "a verb comes first")),
    ],
)
def test_a_usage_error_is_exit_2_with_the_closest_name(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    program: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert program.code(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error (exit 2): ")
    for word in words:
        assert word in shown.err
    assert (shown.out, program.called) == ("", [])


def test_an_error_of_a_verb_keeps_its_exit_code(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.code("runs.fail") == 6
    error = "error (exit 6): triton was changed\n  next:  use a new container\n"
    assert capsys.readouterr().err == error


def test_ctrl_c_is_exit_130(program: Program) -> None:
    assert program.code("runs.wait") == 130


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--list",)])
def test_help_shows_the_verbs_by_group(
    arguments: tuple[str, ...], program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.code(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  find        Find something." in lines
    assert lines[lines.index("  look        Look at this machine.") + 1] == ""
    assert "  runs.prune  Remove old runs." in lines


def test_help_of_a_verb_shows_its_options(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.code("find", "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ./inv find SOURCE [options]\n\nFind something.\n")
    for words in ("SOURCE  ", "where it is", "--keep=STRING", "how many stay", "--dry-run"):
        assert words in shown
    assert "--source" not in shown


def test_options_become_the_arguments_of_another_command() -> None:
    options = Options(source="x y", keep=3, dry_run=True)
    assert arguments_of(options) == ["--source=x y", "--keep=3", "--dry-run"]
    assert arguments_of(Options()) == []
