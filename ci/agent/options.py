"""Arguments for pytest, tried out before the first test: what its parser, its plugins and a folder's conftest.py do not know."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .attempt import RunContext, child_argv, test_environ
from .spec import Spec, Test

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_options", "refusal", "try_options"]

# pytest's own variable with more arguments
_ADDOPTS = "PYTEST_ADDOPTS"
# a conftest.py may import an engine
TRY_S = 180.0
_POLL_S = 0.05
# values of pytest's and its plugins' options with which no case is run, or not in the process that reports it
_RUN_NOTHING = {
    "collectonly": "--collect-only",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
    "markers": "--markers",
    "help": "--help",
    "version": "--version",
    "usepdb": "--pdb",
    "trace": "--trace",
    "numprocesses": "-n",
    "looponfail": "--looponfail",
    "reruns": "--reruns",
}


class _Probe:
    """A pytest plugin that looks at the options as they were understood, and ends pytest before it does anything."""

    def __init__(self, library: ModuleType) -> None:
        self.parsed = False
        self.problems: list[str] = []
        library.hookimpl(tryfirst=True)(type(self).pytest_cmdline_main)

    def pytest_cmdline_main(self, config: "pytest.Config") -> int:
        self.parsed = True
        options = vars(config.option)
        for name, option in _RUN_NOTHING.items():
            if options.get(name):
                self.problems.append(f"{option}: no case would be run, or not by this run")
        for word in options.get("file_or_dir") or ():
            self.problems.append(f"{word}: tests are named by --test, before the second --")
        marks = config.pluginmanager.get_plugin("mark")
        if marks is not None:  # an invalid expression of -k or -m is found with the first test otherwise
            marks.pytest_collection_modifyitems(items=[], config=config)
        return 0


def pytest_options(spec: Spec) -> list[str]:
    """What pytest is given before the tests.

    No configuration file: one above the tree, or this repository's strict one, would change what runs.
    """
    return [
        *("-c", os.devnull, f"--rootdir={spec.root}", f"--confcutdir={spec.root}"),
        *("-p", "no:cacheprovider", "--capture=no", "--color=no", "-q", *spec.pytest_args),
    ]


def try_options(spec: Spec, test: Test, library: ModuleType) -> list[str]:
    """What is wrong with the arguments for this test's folder. In a process of its own, where the test would run."""
    probe, said = _Probe(library), io.StringIO()
    # as for a test, whose folder's conftest.py may define options
    folder = str((spec.root / test.path).parent)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            library.main([*pytest_options(spec), f"--confcutdir={spec.root}", folder], plugins=[probe])
    except Exception as error:  # noqa: BLE001 - a plugin that cannot be imported
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    problems = [each for each in probe.problems if not each.startswith(f"{folder}: ")]
    words = [
        line.removeprefix("ERROR: ").rpartition("error: ")[2]
        for line in said.getvalue().splitlines()
        if line.startswith("ERROR: ") or ": error: " in line
    ]
    # a conftest.py that cannot be imported fails its tests, which say so
    return [*problems, *(word for word in words if not word.startswith("usage: "))]


def refusal(context: RunContext) -> Mapping[str, Any] | None:
    """What `executor-failed` says about arguments for pytest that cannot be honoured, None where they can.

    They are tried once for each folder, whose conftest.py may add options.
    """
    spec = context.spec
    found: dict[str, None] = {}
    tried: set[tuple[str, Path, str]] = set()
    for suite in spec.suites:
        for test in suite.tests:
            environ = test_environ(context, suite, test)
            more = environ.get(_ADDOPTS, "")
            key = (suite.id, Path(test.path).parent, more)
            if test.kind != "pytest" or key in tried or not (spec.pytest_args or more):
                continue
            tried.add(key)
            found |= dict.fromkeys(_answer(child_argv(context, "options", suite, test), spec.root, environ))
    if not found:
        return None
    return {
        "what": "pytest cannot be run with these arguments",
        "cause": f"what follows the second --, or {_ADDOPTS}, has an option that pytest does not know or with which it runs nothing",
        "then": f"{sys.executable} -m pytest --help",
        "problems": list(found),
        "verdict": "usage",
    }


def _answer(argv: Sequence[str], root: Path, environ: Mapping[str, str]) -> list[str]:
    """What a process that tries the options says; nothing where it has no answer: the tests then say why."""
    try:
        with subprocess.Popen(
            argv,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            until = time.monotonic() + TRY_S
            while process.poll() is None and time.monotonic() < until:
                time.sleep(_POLL_S)
            process.kill()
            text = process.stdout.read() if process.stdout is not None else b""
        said = json.loads(text.splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return []
    return [str(each) for each in said] if isinstance(said, list) else []
