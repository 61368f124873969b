"""The line that repeats what failed in a run: a shell and our own option reader take it for exactly those tests."""

import shlex
from collections.abc import Sequence

from ci.plan.request import CHANGING, SELECTING, split_pytest_args, without
from ci.record.fold import exit_code
from ci.record.model import RunRecord, TestRecord

__all__ = ["repeat", "repeat_here", "repeat_run", "repeat_test"]

# more tests than this are named by their run: a line of them all is not read, and may not fit
_MOST_NODES = 5


def repeat(record: RunRecord) -> str:
    """The command for the tests that failed or were not run, for the whole run when there are none.

    Of a merged record, that of the only run that failed; empty when there are several.
    """
    if record.parts:
        failed = [part.record for part in record.parts if exit_code(part.record)]
        return repeat(failed[0]) if len(failed) == 1 else ""
    tests = record.to_repeat
    if not tests:
        return repeat_run(record.start.command, session=record.start.session, run=record.start.run)
    words = _words(record.start.command)
    line = _naming(record, words, tests)
    if line or not record.start.run:
        return line
    if _is_plain(words) and not _of_saved_plan(words):
        return _line(record.start.session, words, ("--last-failed", record.start.run))
    return _of_plan(record.start.session, words, ("--plan", record.start.run, "--failed"))


def repeat_here(record: RunRecord, *, run: str, width: int) -> str:
    """The command where the run was: by `run`, a name of it, where the one that names tests takes more than `width` columns.

    Without a width (0) any will do. In Actions the run folder is not the reader's, so what cannot be named is repeated from the job's page.
    """
    line = repeat(record)
    page = record.start.github.run_url if record.start.github is not None else ""
    if page and any(option in _words(line) for option in ("--last-failed", "--plan")):
        return shlex.join(("./inv", "repro", page, "--run", "--failed"))
    words = _words(record.start.command)
    if not width or len(line) + len("repeat it: ") <= width or not (record.to_repeat and record.start.run):
        return line
    if not _is_plain(words) or _of_saved_plan(words):
        return line
    return _line(record.start.session, words, ("--last-failed", run))


def repeat_test(record: RunRecord, test: TestRecord) -> str:
    """The command for one test; empty when only all that failed can be repeated."""
    record = record.run_of(test)
    return _naming(record, _words(record.start.command), (test,))


def repeat_run(command: str, *, session: str, run: str) -> str:
    """The command for a whole run; its plan where the command does not fit on a line."""
    words = _words(command)
    if not command:
        return f"nox -s {session}" if session else ""
    return command if _is_plain(words) else _of_plan(session, words, ("--plan", run))


def _naming(record: RunRecord, words: Sequence[str], tests: Sequence[TestRecord]) -> str:
    """The command with each test named; empty when that would not be a line, or would select others too."""
    nodes = [node for test in tests for node in test.nodes_to_repeat]
    suites = {test.suite for test in tests}
    if len(suites) > 1 or len(nodes) > _MOST_NODES or _of_saved_plan(words):
        return ""
    named = _value_of(words, "--suite")
    suite = named if len(named) == 1 else sorted(suites - {""})
    selection = [word for name in suite for word in ("--suite", name)]
    selection += [word for node in nodes for word in ("--test", node)]
    return _line(record.start.session, words, selection) if _is_plain([*words, *selection]) else ""


def _line(session: str, words: Sequence[str], selection: Sequence[str]) -> str:
    ours, pytest_args = split_pytest_args(words)
    kept = without(ours, SELECTING)
    tail = ("--", *pytest_args) if pytest_args else ()
    return shlex.join(("nox", "-s", session, "--", *selection, *kept, *tail))


def _of_plan(session: str, words: Sequence[str], selection: Sequence[str]) -> str:
    """The saved plan of a run, which holds everything that decides a verdict; options of placement stay."""
    kept = without(_ours(words), {**SELECTING, **CHANGING})
    return shlex.join(("nox", "-s", session, "--", *selection, *(kept if _is_plain(kept) else ())))


def _words(command: str) -> tuple[str, ...]:
    """The options of a command: those after `nox -s SESSION --`."""
    try:
        words = shlex.split(command)
    except ValueError:  # the record was cut
        return ()
    return tuple(words[words.index("--") + 1 :]) if "--" in words else ()


def _ours(words: Sequence[str]) -> tuple[str, ...]:
    return split_pytest_args(words)[0]


def _of_saved_plan(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--plan" for word in _ours(words))


def _value_of(words: Sequence[str], option: str) -> list[str]:
    """Every value that an option was given, in either spelling."""
    ours = _ours(words)
    inline = [word.partition("=")[2] for word in ours if word.startswith(f"{option}=")]
    return inline + [ours[at + 1] for at, word in enumerate(ours[:-1]) if word == option]


def _is_plain(words: Sequence[str]) -> bool:
    """Whether a terminal, a browser and a shell hand these words on as they are, on one line."""
    return all(word.isascii() and word.isprintable() and "  " not in word for word in words)
