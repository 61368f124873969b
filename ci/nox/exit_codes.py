"""Parts of the noxfile that have unit tests: exit codes, names, paths. Standard library alone."""

import ast
import difflib
import gc
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ci.errors import EXIT_ROWS, ExitCode, worst

__all__ = [
    "PYTEST_CODES",
    "UNSET",
    "Codes",
    "chosen_sessions",
    "files_with_mark",
    "leave",
    "meaning",
    "original_path",
    "quiet_nox",
    "suite_arguments",
    "targets",
    "targets_among",
    "unknown_sessions",
]

# pytest's own codes as codes of our table. 2 is "interrupted", by a collection error unless we were.
PYTEST_CODES: Final[Mapping[int, int]] = {
    0: ExitCode.OK,
    1: ExitCode.TESTS_FAILED,
    2: ExitCode.TESTS_FAILED,
    3: ExitCode.INFRASTRUCTURE,
    4: ExitCode.USAGE,
    5: ExitCode.NOTHING_SELECTED,
}

# Variables that make uv or a Python look into another environment than the one that it is started with.
UNSET: Final = ("PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "VIRTUAL_ENV")

# Folders of uv's cache that hold the environments of `uvx` and `uv run`, without their version number.
_UV_FOLDERS = ("archive-v", "builds-v", "environments-v")
_SCRIPT_MODE = "_nox_script_mode"


def meaning(code: int) -> str:
    """An exit code with its name, for a message."""
    row = EXIT_ROWS.get(code)
    return f"exit {code}: {row.name if row is not None else 'a code of its own'}"


class Codes:
    """The exit codes of everything that ran under this Nox, which itself knows 0 and 1 only."""

    def __init__(self) -> None:
        """Nothing has run."""
        self._noted: list[int] = []
        self.interrupted = False

    def note(self, code: int | None, table: Mapping[int, int] | None = None) -> int:
        """Keep a code and say what it is in our table.

        Args:
            code: as a child ended; None when it could not be started, negative when a signal killed it.
            table: what the child's codes mean; our own table when it is None.
        """
        if code is None or code < 0:
            known: int = ExitCode.INFRASTRUCTURE
        else:
            known = code if table is None else table.get(code, ExitCode.INFRASTRUCTURE)
        self._noted.append(int(known))
        return int(known)

    def interrupt(self, _number: int = 0) -> None:
        """Note a request to stop."""
        self.interrupted = True
        self.note(ExitCode.INTERRUPTED)

    def worst(self) -> int:
        """The code that Nox must exit with."""
        return worst(self._noted)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Watch a session: a failure without a noted code is 4; Nox itself would exit with 1, "tests failed"."""
        before = len(self._noted)
        try:
            yield
        except KeyboardInterrupt:
            self.interrupt()
            raise
        except Exception:
            if not any(self._noted[before:]):
                self.note(ExitCode.INFRASTRUCTURE)
            raise


def leave(codes: Codes, end: Callable[[int], object] = os._exit) -> None:
    """Called at the end of Nox: exit with the worst code; without one, let the process end by itself.

    By `os._exit`: a function that `atexit` runs cannot change the exit code in any other way.
    """
    code = codes.worst()
    if not code:
        gc.freeze()  # nothing for the last collection to do: 14 of the 200 ms of a listing
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the pipe's reader or the stream is closed
            continue
    end(code)


def quiet_nox() -> None:
    """Nox says one line about a session that failed; that `ci` failed, and why, `ci` itself has said above it."""
    logging.getLogger("nox").addFilter(_is_for_people)


def _is_for_people(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return text != "Interrupted..." and not (" -m ci " in text and " failed with exit code " in text)


def suite_arguments(suite: str, posargs: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a stage session's command: `--suite ID` of the bracketed form, then the user's."""
    return (*(("--suite", suite) if suite else ()), *posargs)


def original_path(path: str) -> str:
    """The PATH that Nox was started with, without the environments of its own that uv and Nox put first.

    `uvx` and `uv run` put the environment that holds Nox first, and Nox does the same when it starts itself
    again under another Python. The `python3` there has no engine, and a test that calls `python3` must not
    get it.
    """
    entries = path.split(os.pathsep)
    while len(entries) > 1 and _is_noxs_own(Path(entries[0])):
        del entries[0]
    return os.pathsep.join(entries)


def _is_noxs_own(folder: Path) -> bool:
    if folder.name != "bin":
        return False
    return folder.parent.name == _SCRIPT_MODE or folder.parent.parent.name.startswith(_UV_FOLDERS)


def chosen_sessions(arguments: Sequence[str]) -> tuple[str, ...]:
    """The session names on Nox's command line, which is given without the program's name."""
    names: list[str] = []
    taking = False
    for argument in arguments:
        if argument == "--":
            break
        option, equals, value = argument.partition("=")
        if option in {"-s", "-e", "--session", "--sessions"}:
            taking = not equals
            names += [value] if equals else []
        elif argument.startswith("-"):
            taking = False
        elif taking:
            names.append(argument)
    return tuple(names)


def unknown_sessions(arguments: Sequence[str], known: Collection[str], tasks: Path) -> tuple[str, ...]:
    """A line for each unknown session on Nox's command line, with the closest names or the verb of that name in `tasks`."""
    exact = {_plain(name) for name in known}
    alike = {name.replace("-", "_"): name for name in known}
    lines = []
    for name in chosen_sessions(arguments):
        if _plain(name) in exact:
            continue
        near = [
            alike[each]
            for each in difflib.get_close_matches(_plain(name).replace("-", "_"), alike, cutoff=0.5)
        ]
        if _plain(name) in (verbs := _verbs(tasks)) or _plain(name).replace("_", ".") in verbs:
            verb = name if name in verbs else _plain(name).replace("_", ".")
            lines.append(
                f"{name} is not a session, it is a verb: ./inv {verb} (./inv --help {verb} explains it)"
            )
            continue
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        lines.append(f"unknown session {name}{hint} (nox -l lists all)")
    return tuple(lines)


def _verbs(tasks: Path) -> frozenset[str]:
    """The names of the operators' verbs, which only an unknown session makes us look for."""
    try:
        return frozenset(
            re.findall(r'^@verbs\.add\("([^"]+)"', tasks.read_text(encoding="utf-8"), re.MULTILINE)
        )
    except OSError:
        return frozenset()


def _plain(name: str) -> str:
    """Without the blanks that Nox ignores."""
    return name.replace(" ", "")


def targets(posargs: Sequence[str], default: Sequence[str], root: Path) -> tuple[str, ...]:
    """The arguments of pytest: the user's, with our own paths unless the user names a test's path."""
    return (*posargs,) if any(_is_test_path(word, root) for word in posargs) else (*default, *posargs)


def targets_among(files: Sequence[str], posargs: Sequence[str], root: Path) -> tuple[str, ...]:
    """`targets` of these files and no others: a folder means those below it. Empty when the user's paths hold none."""
    paths = [word for word in posargs if _is_test_path(word, root)]
    chosen: list[str] = []
    for word in paths:
        path = (root / word.partition("::")[0]).resolve()
        held = [file for file in files if (here := (root / file).resolve()) == path or path in here.parents]
        chosen += held if path.is_dir() else [word] * len(held)
    if paths and not chosen:
        return ()
    return (*(chosen or files), *(word for word in posargs if word not in paths))


def _is_test_path(word: str, root: Path) -> bool:
    path = word.partition("::")[0]
    # the slash or suffix keeps `-k test` from being taken for our folder `test`
    return not word.startswith("-") and ("/" in path or path.endswith(".py")) and (root / path).exists()


def files_with_mark(mark: str, folder: Path) -> tuple[Path, ...]:
    """The test files that use a pytest mark, found without importing them: an old Python cannot import all."""
    return tuple(
        path for path in sorted(folder.rglob("test_*.py")) if f"pytest.mark.{mark}" in _attributes(path)
    )


def _attributes(path: Path) -> set[str]:
    """Every dotted name in a file; none in an invalid file, which pytest itself reports."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return set()
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
